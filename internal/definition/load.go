package definition

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/stepwell/stepwell/pkg/dag"
)

// File is a definition file that was read.
type File struct {
	Path     string
	Source   string
	Workflow *dag.Workflow
}

// Load reads the definition file at path. Its errors are those of opening the file and of [Parse].
func Load(path string) (*dag.Workflow, error) {
	f, err := load(path)
	if err != nil {
		return nil, err
	}
	return f.Workflow, nil
}

// LoadDir reads every *.yaml and *.yml file below a directory, in the order of their paths; names that begin with a dot are left out. The
// error joins what is wrong with all files, and names versions of a workflow that more than one file defines.
func LoadDir(dir string) ([]File, error) {
	var (
		files []File
		errs  []error
		owner = map[string]string{}
	)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(path); entry.IsDir() || ext != ".yaml" && ext != ".yml" {
			return nil
		}
		f, err := load(path)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		id := f.Workflow.FullName() + "@" + f.Workflow.Version
		if first, twice := owner[id]; twice {
			errs = append(errs, fmt.Errorf("%w: %s and %s both define %s; raise the version in one of them or remove it", dag.ErrInvalid, first, path, id))
			return nil
		}
		owner[id] = path
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read workflow definitions in %s: %w", dir, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return files, nil
}

func load(path string) (File, error) {
	file, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("read workflow definition: %w", err)
	}
	defer func() { _ = file.Close() }()                                // it was only read
	src, err := io.ReadAll(io.LimitReader(file, dag.MaxSourceBytes+1)) // one more, so that Parse sees that it is too much
	if err != nil {
		return File{}, fmt.Errorf("read workflow definition %s: %w", path, err)
	}
	w, err := Parse(path, src)
	if err != nil {
		return File{}, err
	}
	return File{Path: path, Source: string(src), Workflow: w}, nil
}

// Parse reads a definition. name is what errors call the file. The error is an [*Error].
func Parse(name string, src []byte) (*dag.Workflow, error) {
	if len(src) > dag.MaxSourceBytes {
		p := Problem{Line: 1, Column: 1, Message: fmt.Sprintf("the file has more than the limit of %d bytes; split the workflow", dag.MaxSourceBytes)}
		return nil, newError(name, []Problem{p})
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	if line := notUTF8(src); line > 0 {
		p := Problem{Line: line, Column: 1, Message: "this line is not UTF-8; save the file in that encoding"}
		return nil, newError(name, []Problem{p})
	}
	r := newReader(string(src))
	body := r.syntax(string(src))
	if body == nil {
		return nil, newError(name, r.problems)
	}
	w := r.workflow(body)
	if len(r.problems) > 0 {
		return nil, newError(name, r.problems)
	}
	return w, nil
}

// notUTF8 is the first line, from 1, that is not UTF-8, or 0.
func notUTF8(src []byte) int {
	if utf8.Valid(src) {
		return 0
	}
	n := 0
	for line := range bytes.Lines(src) {
		n++
		if !utf8.Valid(line) {
			break
		}
	}
	return n
}
