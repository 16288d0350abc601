package definition_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestSchemasCheckListsEveryViolation(t *testing.T) {
	t.Parallel()
	schema := json.RawMessage(`{
		"type": "object", "required": ["cart", "customer"], "additionalProperties": false,
		"properties": {
			"cart": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "object", "required": ["id"], "properties": {
				"id": {"type": "integer", "minimum": 1}, "price": {"type": "number", "exclusiveMaximum": 99.5, "multipleOf": 0.01}}}},
			"customer": {"type": "object", "required": ["email"], "properties": {
				"email": {"type": "string", "format": "email"}, "tier": {"enum": ["standard", "premium"]}, "name": {"type": "string", "minLength": 2, "pattern": "^[A-Z]"}}},
			"ref": {"oneOf": [{"type": "string"}, {"type": "object", "required": ["x"]}]},
			"a/b~c": {"const": 7}
		}}`)
	for _, c := range []struct {
		input string
		want  []dag.Violation
	}{
		{`{"cart":[{"id":1}],"customer":{"email":"a@example.com"}}`, nil},
		{`[]`, []dag.Violation{{Pointer: "", Message: "must be an object, but is an array"}}},
		{`{}`, []dag.Violation{{Pointer: "/cart", Message: "is required"}, {Pointer: "/customer", Message: "is required"}}},
		{
			`{"cart":[{"id":0,"price":99.5},{"id":"secret-1"},{}],"customer":{"email":"secret-2","tier":"secret-3","name":"s"},"ref":5,"a/b~c":"secret-4","extra":"secret-5"}`,
			[]dag.Violation{
				{Pointer: "/a~1b~0c", Message: "must be 7"},
				{Pointer: "/cart/0/id", Message: "must be at least 1"},
				{Pointer: "/cart/0/price", Message: "must be less than 99.5"},
				{Pointer: "/cart/1/id", Message: "must be an integer, but is a string"},
				{Pointer: "/cart/2/id", Message: "is required"},
				{Pointer: "/customer/email", Message: "must be a valid email"},
				{Pointer: "/customer/name", Message: "must have at least 2 characters, but has 1"},
				{Pointer: "/customer/name", Message: "must match the pattern ^[A-Z]"},
				{Pointer: "/customer/tier", Message: `must be one of "standard", "premium"`},
				{Pointer: "/extra", Message: "is not a known property; remove it"},
				{Pointer: "/ref", Message: "must match exactly one of these: (1) /ref must be a string, but is a number, (2) /ref must be an object, but is a number"},
			},
		},
		{`{"cart":[],"customer":{"email":"a@example.com"}}`, []dag.Violation{{Pointer: "/cart", Message: "must have at least 1 items, but has 0"}}},
		{`{"cart":[{"id":1,"price":0.015}],"customer":{"email":"a@example.com"}}`, []dag.Violation{{Pointer: "/cart/0/price", Message: "must be a multiple of 0.01"}}},
	} {
		err := definition.NewSchemas().Check(schema, json.RawMessage(c.input))
		var got []dag.Violation
		if e, ok := errors.AsType[*dag.InputError](err); ok {
			got = e.Violations
		} else if err != nil {
			t.Errorf("%s: %v is no InputError", c.input, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.input, d)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats a value: %v", err)
		}
	}
}

func TestSchemasNumbersAreExact(t *testing.T) {
	t.Parallel()
	s := definition.NewSchemas()
	schema := json.RawMessage(`{"type":"integer","maximum":9007199254740993}`)
	if err := s.Check(schema, json.RawMessage(`9007199254740993`)); err != nil {
		t.Error(err)
	}
	if err := s.Check(schema, json.RawMessage(`9007199254740994`)); err == nil {
		t.Error("one above the maximum passed: numbers were rounded")
	}
}

func TestSchemasRefuseCostlyNumbers(t *testing.T) {
	t.Parallel()
	input := "[" + strings.Repeat("1e999999,", 20_000) + "1]"
	began := time.Now()
	err := definition.NewSchemas().Check(json.RawMessage(`{"items":{"minimum":0}}`), json.RawMessage(input))
	e, ok := errors.AsType[*dag.InputError](err)
	if !ok || len(e.Violations) != 101 || !strings.Contains(e.Violations[100].Message, "19900 more") {
		t.Fatalf("got %.200v", err)
	}
	if took := time.Since(began); took > 30*time.Second { // what is not bounded takes minutes
		t.Errorf("took %s", took)
	}
}

func TestSchemasOddCases(t *testing.T) {
	t.Parallel()
	s := definition.NewSchemas()
	if err := s.Check(nil, json.RawMessage(`{"any":"thing"}`)); err != nil {
		t.Errorf("no schema: %v", err)
	}
	for name, c := range map[string]struct{ schema, input string }{
		"schema is none":     {`{"type":7}`, `1`},
		"external reference": {`{"$ref":"https://example.com/a.json"}`, `1`},
		"input is no JSON":   {`true`, `{`},
		"false":              {`false`, `1`},
		"endless reference":  {`{"$ref":"#"}`, `1`},
	} {
		if err := s.Check(json.RawMessage(c.schema), json.RawMessage(c.input)); !errors.Is(err, dag.ErrInvalid) {
			t.Errorf("%s: got %v, want dag.ErrInvalid", name, err)
		}
	}
}

func TestSchemasCacheIsBounded(t *testing.T) {
	t.Parallel()
	s := definition.NewSchemas()
	for i := range 600 {
		schema := json.RawMessage(fmt.Sprintf(`{"maximum":%d}`, i))
		if err := s.Check(schema, json.RawMessage(`0`)); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(schema, json.RawMessage(`1000`)); err == nil {
			t.Fatal("the cache mixed schemas up")
		}
	}
}
