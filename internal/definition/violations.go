package definition

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/stepwell/stepwell/pkg/dag"
)

// maxViolations bounds what is reported of one input.
const maxViolations = 100

func bounded(all []dag.Violation) []dag.Violation {
	slices.SortStableFunc(all, func(a, b dag.Violation) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Message, b.Message))
	})
	all = slices.Compact(all)
	if n := len(all) - maxViolations; n > 0 {
		all = append(all[:maxViolations:maxViolations], dag.Violation{Message: fmt.Sprintf("and %d more violations", n)})
	}
	return all
}

// violations lists the leaves of a validation error. Messages come from the schema alone, never from the value.
func violations(e *jsonschema.ValidationError) []dag.Violation {
	at := pointerTo(e.InstanceLocation)
	one := func(message string) []dag.Violation { return []dag.Violation{{Pointer: at, Message: message}} }
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return members(at, k.Missing, "is required")
	case *kind.AdditionalProperties:
		return members(at, k.Properties, "is not a known property; remove it")
	case *kind.DependentRequired:
		return members(at, k.Missing, "is required when "+quote(k.Prop)+" is given")
	case *kind.Dependency:
		return members(at, k.Missing, "is required when "+quote(k.Prop)+" is given")
	case *kind.AnyOf:
		return one("must match one of these: " + alternatives(e.Causes))
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			return one("must match exactly one of the alternatives, but matches more than one")
		}
		return one("must match exactly one of these: " + alternatives(e.Causes))
	case *kind.PropertyNames:
		return one("the name of property " + quote(k.Property) + " is not allowed: " + inOne(e.Causes))
	case *kind.Not, *kind.Contains, *kind.MinContains, *kind.MaxContains:
		return one(leaf(k))
	}
	if len(e.Causes) == 0 {
		return one(leaf(e.ErrorKind))
	}
	var out []dag.Violation
	for _, c := range e.Causes {
		out = append(out, violations(c)...)
	}
	return out
}

func members(at string, names []string, message string) []dag.Violation {
	out := make([]dag.Violation, len(names))
	for i, n := range names {
		out[i] = dag.Violation{Pointer: at + "/" + escapePointer(n), Message: message}
	}
	return out
}

func alternatives(causes []*jsonschema.ValidationError) string {
	parts := make([]string, len(causes))
	for i, c := range causes {
		parts[i] = "(" + strconv.Itoa(i+1) + ") " + inOne([]*jsonschema.ValidationError{c})
	}
	return strings.Join(parts, ", ")
}

// inOne is what several errors say, in one line.
func inOne(causes []*jsonschema.ValidationError) string {
	var parts []string
	for _, c := range causes {
		for _, v := range violations(c) {
			parts = append(parts, strings.TrimSpace(v.Pointer+" "+v.Message))
		}
	}
	return strings.Join(parts, " and ")
}

// leaf says what would be right.
func leaf(e jsonschema.ErrorKind) string {
	switch k := e.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, but is %s", article(k.Want), article([]string{k.Got}))
	case *kind.Enum:
		return "must be one of " + values(k.Want)
	case *kind.Const:
		return "must be " + values([]any{k.Want})
	case *kind.Format:
		return "must be a valid " + k.Want
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.UniqueItems:
		return fmt.Sprintf("must not have equal items, but items %d and %d are", k.Duplicates[0], k.Duplicates[1])
	case *kind.FalseSchema:
		return "is not allowed here; remove it"
	case *kind.Not:
		return "must not be of the form that the schema excludes"
	case *kind.Contains:
		return "must have an item of the form that the schema asks for"
	case *kind.MinContains:
		return fmt.Sprintf("must have at least %d items of the form that the schema asks for, but has %d", k.Want, len(k.Got))
	case *kind.MaxContains:
		return fmt.Sprintf("must have at most %d items of the form that the schema asks for, but has %d", k.Want, len(k.Got))
	case *kind.RefCycle:
		return "cannot be checked: the schema refers to itself without end"
	}
	if text := bound(e); text != "" {
		return text
	}
	return "does not satisfy the schema's keyword " + strings.Join(e.KeywordPath(), "/")
}

func bound(e jsonschema.ErrorKind) string {
	switch k := e.(type) {
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be greater than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	case *kind.MinLength:
		return count("characters", "least", k.Want, k.Got)
	case *kind.MaxLength:
		return count("characters", "most", k.Want, k.Got)
	case *kind.MinItems:
		return count("items", "least", k.Want, k.Got)
	case *kind.MaxItems:
		return count("items", "most", k.Want, k.Got)
	case *kind.AdditionalItems:
		return fmt.Sprintf("has %d items more than the schema allows; remove them", k.Count)
	case *kind.MinProperties:
		return count("properties", "least", k.Want, k.Got)
	case *kind.MaxProperties:
		return count("properties", "most", k.Want, k.Got)
	}
	return ""
}

func count(what, side string, want, got int) string {
	return fmt.Sprintf("must have at %s %d %s, but has %d", side, want, what, got)
}

// article makes "a string" or "an integer or null" of the names of types.
func article(types []string) string {
	out := make([]string, len(types))
	for i, t := range types {
		switch t {
		case "null":
			out[i] = t
		case "array", "integer", "object":
			out[i] = "an " + t
		default:
			out[i] = "a " + t
		}
	}
	return strings.Join(out, " or ")
}

// maxValues bounds the allowed values that a message lists.
const maxValues = 20

// values writes values of the schema.
func values(all []any) string {
	parts := make([]string, 0, min(len(all), maxValues+1))
	for i, v := range all {
		if i == maxValues {
			parts = append(parts, fmt.Sprintf("… (%d in all)", len(all)))
			break
		}
		raw, err := json.Marshal(v)
		if err != nil || len(raw) > 200 {
			raw = []byte("a value of the schema")
		}
		parts = append(parts, string(raw))
	}
	return strings.Join(parts, ", ")
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	n, _ := r.FloatPrec()
	return r.FloatString(min(max(n, 1), maxExponent))
}

func pointerTo(location []string) string {
	var b strings.Builder
	for _, part := range location {
		b.WriteString("/" + escapePointer(part))
	}
	return b.String()
}
