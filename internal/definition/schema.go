package definition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stepwell/stepwell/pkg/dag"
)

// schemaURL is the base of the references inside a schema. Nothing is ever loaded from it.
const schemaURL = "stepwell:///input_schema.json"

var errExternal = errors.New("a reference to another document is not allowed; put what it names under $defs, and refer to it as #/$defs/name")

// noLoader keeps the compiler from reading files and URLs.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errExternal }

// compile makes a checker of a JSON Schema (2020-12 unless it says otherwise), with formats asserted.
func compile(raw json.RawMessage) (*jsonschema.Schema, error) {
	if err := dag.CheckJSON(raw, dag.MaxSourceBytes); err != nil {
		return nil, fmt.Errorf("input schema: %w", err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%w input schema: %w", dag.ErrInvalid, err)
	}
	if huge := hugeNumbers(doc, "", nil); len(huge) > 0 {
		return nil, fmt.Errorf("%w input schema: %s: %s", dag.ErrInvalid, huge[0].Pointer, huge[0].Message)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, fmt.Errorf("%w input schema: %w", dag.ErrInvalid, err)
	}
	s, err := c.Compile(schemaURL)
	if err != nil {
		return nil, fmt.Errorf("%w input schema: %w", dag.ErrInvalid, err)
	}
	return s, nil
}

// schema reads a JSON Schema and compiles it, so that a bad one is found in the file and not at the first run.
func (r *reader) schema(to *json.RawMessage) field {
	return func(n ast.Node, path string) {
		if n.Type() == ast.NullType {
			r.empty(path)
			return
		}
		c := converter{reader: r, root: path}
		c.value(n, "")
		if !c.ok() {
			return
		}
		*to = bytes.Clone(c.out.Bytes())
		if _, err := compile(*to); err != nil {
			r.schemaError(n, path, *to, err)
		}
	}
}

func (r *reader) schemaError(n ast.Node, path string, raw json.RawMessage, err error) {
	r.bad[path] = true
	if e, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if v, ok := errors.AsType[*jsonschema.ValidationError](e.Err); ok {
			for _, found := range violations(v) {
				at := r.at[path+"#"+found.Pointer]
				for p := found.Pointer; at == nil && p != ""; at = r.at[path+"#"+p] {
					p = p[:max(strings.LastIndexByte(p, '/'), 0)]
				}
				r.problemAt(at, fmt.Sprintf("%s: not a JSON Schema: %s: %s", path, found.Pointer, found.Message))
			}
			return
		}
	}
	message := strings.ReplaceAll(err.Error(), schemaURL, "")
	message = strings.TrimPrefix(strings.TrimPrefix(message, dag.ErrInvalid.Error()+" "), "input schema: ")
	at := tokenOf(n)
	if pointer, ok := reference(raw, message); ok {
		at = r.at[path+"#"+pointer]
	}
	if _, ok := errors.AsType[*jsonschema.LoadURLError](err); ok { // it hides the loader's error
		message = errExternal.Error()
	}
	r.problemAt(at, path+": "+message)
}

// reference is the JSON pointer to the reference that an error of the compiler is about.
func reference(raw json.RawMessage, message string) (string, bool) {
	var doc any
	if json.Unmarshal(raw, &doc) != nil {
		return "", false
	}
	var find func(v any, pointer string) (string, bool)
	find = func(v any, pointer string) (string, bool) {
		switch v := v.(type) {
		case []any:
			for i, e := range v {
				if p, ok := find(e, fmt.Sprintf("%s/%d", pointer, i)); ok {
					return p, true
				}
			}
		case map[string]any:
			for key, e := range v {
				child := pointer + "/" + escapePointer(key)
				if text, ok := e.(string); ok && strings.HasPrefix(key, "$") && text != "" {
					base, _, _ := strings.Cut(text, "#")
					if strings.Contains(message, text) || base != "" && strings.Contains(message, base) {
						return child, true
					}
				}
				if p, ok := find(e, child); ok {
					return p, true
				}
			}
		}
		return "", false
	}
	return find(doc, "")
}
