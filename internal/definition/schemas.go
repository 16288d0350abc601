package definition

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stepwell/stepwell/pkg/dag"
)

// maxSchemas bounds the cache of compiled schemas; beyond it the cache starts anew.
const maxSchemas = 256

// maxExponent bounds the numbers of an input. They are compared exactly, and an exact 1e999999 takes milliseconds and half a megabyte.
const maxExponent = 400

// Schemas is the engine's Schemas for JSON Schema. It is safe for concurrent use.
type Schemas struct {
	mu       sync.Mutex
	bySource map[[sha256.Size]byte]*jsonschema.Schema
}

// NewSchemas returns Schemas with an empty cache.
func NewSchemas() *Schemas {
	return &Schemas{bySource: map[[sha256.Size]byte]*jsonschema.Schema{}}
}

// Check returns an [*dag.InputError] with everything in the input that does not satisfy the schema. A nil schema accepts everything. Any
// other error wraps [dag.ErrInvalid]: the schema is none, or the input is not JSON.
func (s *Schemas) Check(schema, input json.RawMessage) error {
	if len(schema) == 0 {
		return nil
	}
	compiled, err := s.compiled(schema)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(input)) // keeps the text of numbers
	if err != nil {
		return fmt.Errorf("%w input: %w", dag.ErrInvalid, err)
	}
	if huge := hugeNumbers(doc, "", nil); len(huge) > 0 {
		return &dag.InputError{Violations: bounded(huge)}
	}
	err = compiled.Validate(doc)
	if err == nil {
		return nil
	}
	if v, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return &dag.InputError{Violations: bounded(violations(v))}
	}
	return fmt.Errorf("%w input: it cannot be checked against the workflow's schema", dag.ErrInvalid)
}

func (s *Schemas) compiled(schema json.RawMessage) (*jsonschema.Schema, error) {
	key := sha256.Sum256(schema)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.bySource[key]; ok {
		return c, nil
	}
	c, err := compile(schema)
	if err != nil {
		return nil, err
	}
	if len(s.bySource) >= maxSchemas {
		clear(s.bySource)
	}
	s.bySource[key] = c
	return c, nil
}

// hugeNumbers appends a violation for every number that would be slow to compare.
func hugeNumbers(v any, pointer string, found []dag.Violation) []dag.Violation {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			found = hugeNumbers(e, pointer+"/"+strconv.Itoa(i), found)
		}
	case map[string]any:
		for key, e := range v {
			found = hugeNumbers(e, pointer+"/"+escapePointer(key), found)
		}
	case json.Number:
		if !tame(string(v)) {
			found = append(found, dag.Violation{
				Pointer: pointer,
				Message: fmt.Sprintf("must be a number of at most %d digits and with an exponent from -%d to %d; send it as text if it must be larger", maxExponent, maxExponent, maxExponent),
			})
		}
	}
	return found
}

func tame(number string) bool {
	digits, exponent := number, ""
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		digits, exponent = number[:i], number[i+1:]
	}
	if exponent == "" {
		return len(digits) <= maxExponent
	}
	e, err := strconv.Atoi(exponent)
	return err == nil && math.Abs(float64(e)) <= maxExponent && len(digits) <= maxExponent
}
