// Package testbinary is what tests with real processes have in common: the program under test, and how such tests are run.
package testbinary

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

// Plan says how the tests of a package are run.
type Plan struct {
	// Parallel is how many tests run at once: most of their time goes by in waiting, so it may be more than there are processors. 0 leaves it as it is.
	Parallel int
	// Binary, unless nil, gets the path of the program under test, which is built before the first test and removed after the last.
	Binary *string
	// Leaks are goroutines that may stay.
	Leaks []goleak.Option
}

// Main runs the tests, looks for leaked goroutines and ends the process. TestMain calls it.
func Main(m *testing.M, p Plan) {
	code, err := p.run(m)
	if err != nil {
		Complain(err)
		code = 1
	}
	os.Exit(code)
}

// Play ends the process with what playing a role of a test binary comes to.
func Play(err error) {
	if err != nil {
		Complain(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Complain tells an error to whoever runs the tests.
func Complain(err error) { fmt.Fprintln(os.Stderr, err) }

func (p Plan) run(m *testing.M) (code int, err error) {
	flag.Parse()
	if p.Parallel > 0 {
		if err := flag.Set("test.parallel", strconv.Itoa(p.Parallel)); err != nil {
			return 1, fmt.Errorf("run tests in parallel: %w", err)
		}
	}
	if p.Binary != nil {
		dir, err := os.MkdirTemp("", "stepwell-test-")
		if err != nil {
			return 1, fmt.Errorf("make a directory for the binary under test: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		if *p.Binary, err = Build(context.Background(), dir); err != nil { // TestMain has no context
			return 1, err
		}
	}
	if code = m.Run(); code == 0 {
		err = goleak.Find(p.Leaks...)
	}
	return code, err
}

// Build compiles cmd/stepwell, without the race detector, into a directory and returns the path of the executable. Its subcommands api and
// worker are what cmd/api and cmd/worker are.
func Build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "stepwell")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/stepwell/stepwell/cmd/stepwell") //nolint:gosec // the arguments are ours
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary under test: %w\n%s", err, out)
	}
	return path, nil
}
