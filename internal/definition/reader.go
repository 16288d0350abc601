package definition

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// reader walks the syntax tree of one file and collects what is wrong with it.
//
// Places have paths as in [dag.FieldError], so that what the validation finds can be led back: at holds the token of each place that
// the file has, bad the places that have a problem already, alias the path by index of a step that the validation calls by name.
type reader struct {
	lines    []string
	problems []Problem
	at       map[string]*token.Token
	bad      map[string]bool
	alias    map[string]string
}

func newReader(src string) *reader {
	lines := strings.Split(src, "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	return &reader{lines: lines, at: map[string]*token.Token{}, bad: map[string]bool{}, alias: map[string]string{}}
}

func (r *reader) problem(p token.Position, message string) {
	line, column := max(p.Line, 1), max(p.Column, 1)
	r.problems = append(r.problems, Problem{Line: line, Column: column, Message: message, Excerpt: excerpt(r.lines, line, column)})
}

func (r *reader) problemAt(t *token.Token, message string) {
	p := token.Position{Line: 1, Column: 1}
	if t != nil && t.Position != nil {
		p = *t.Position
	}
	r.problem(p, message)
}

// wrong notes a problem of the value at a path.
func (r *reader) wrong(n ast.Node, path, format string, args ...any) {
	r.bad[path] = true
	message := fmt.Sprintf(format, args...)
	if path != "" {
		message = path + ": " + message
	}
	r.problemAt(tokenOf(n), message)
}

// field reads the value of one field.
type field func(n ast.Node, path string)

// object reads a mapping that has only the given fields.
func (r *reader) object(n ast.Node, path string, fields map[string]field) {
	r.entries(n, path, func(key string, at *token.Token, value ast.Node) {
		read, known := fields[key]
		if !known {
			r.unknown(at, path, key, slices.Sorted(maps.Keys(fields)))
			return
		}
		read(value, join(path, key))
	})
}

func (r *reader) unknown(at *token.Token, path, key string, known []string) {
	message := "unknown field " + quote(key)
	if path != "" {
		message = path + ": " + message
	}
	if n := dag.Nearest(key, known); n != "" {
		r.bad[join(path, n)] = true
		r.problemAt(at, message+"; did you mean "+quote(n)+"?")
		return
	}
	r.problemAt(at, message+"; use "+strings.Join(known, ", "))
}

// entries calls each for every key of a mapping, duplicates but the first left out.
func (r *reader) entries(n ast.Node, path string, each func(key string, at *token.Token, value ast.Node)) {
	values, ok := pairs(n)
	if !ok {
		r.wrong(n, path, "this must be a mapping of fields, but it is %s", kindOf(n))
		return
	}
	seen := make(map[string]*token.Token, len(values))
	for _, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			r.problemAt(tokenOf(v.Key), "a key must be text; quote it")
			continue
		}
		at := tokenOf(key)
		if first, twice := seen[key.Value]; twice {
			r.problemAt(at, fmt.Sprintf("the key %s is there twice, first on line %d; remove one", quote(key.Value), first.Position.Line))
			continue
		}
		seen[key.Value] = at
		if child := join(path, key.Value); v.Value != nil {
			r.at[child] = tokenOf(v.Value)
			if v.Value.Type() == ast.NullType {
				r.at[child] = at
			}
		}
		each(key.Value, at, v.Value)
	}
}

// list calls each for every entry of a sequence.
func (r *reader) list(n ast.Node, path string, each func(i int, n ast.Node, path string)) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.wrong(n, path, "this must be a list, but it is %s; begin each entry with a dash", kindOf(n))
		return
	}
	for i, v := range seq.Values {
		child := path + "[" + strconv.Itoa(i) + "]"
		r.at[child] = tokenOf(v)
		each(i, v, child)
	}
}

// text reads a string.
func (r *reader) text(to *string) field {
	return func(n ast.Node, path string) {
		switch n := n.(type) {
		case *ast.StringNode:
			if n.Value == "" {
				r.wrong(n, path, "this is empty; give a value or remove the line")
			}
			*to = n.Value
		case *ast.LiteralNode:
			*to = n.Value.Value
		case *ast.NullNode:
			r.empty(path)
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			v := n.GetToken().Value
			r.wrong(n, path, "this must be text, but YAML reads %s; quote it: %s", kindOf(n), quote(v))
		default:
			r.wrong(n, path, "this must be text, but it is %s", kindOf(n))
		}
	}
}

func (r *reader) empty(path string) {
	r.bad[path] = true
	r.problemAt(r.at[path], path+": there is no value; give one or remove the line")
}

// duration reads a length of time with a unit.
func (r *reader) duration(to *time.Duration) field {
	return func(n ast.Node, path string) {
		var v string
		switch n := n.(type) {
		case *ast.NullNode:
			r.empty(path)
			return
		case *ast.StringNode:
			v = n.Value
		case *ast.IntegerNode, *ast.FloatNode:
			r.wrong(n, path, "%s has no unit; write for example %ss, or 5m, or 1h30m", kindOf(n), show(n.GetToken().Value))
			return
		default:
			r.wrong(n, path, "this must be a duration such as 30s, 5m or 1h30m, but it is %s", kindOf(n))
			return
		}
		d, err := time.ParseDuration(v)
		switch {
		case err != nil:
			r.wrong(n, path, "%s is no duration; write a number with a unit, such as 30s, 5m or 1h30m (units are ms, s, m, h)", quote(v))
		case d == 0:
			r.wrong(n, path, "0 is not a time; give a positive duration, or remove the line for the default")
		default:
			*to = d
		}
	}
}

// keep reads how long runs are kept: a length of time, or the word forever.
func (r *reader) keep(to *time.Duration) field {
	return func(n ast.Node, path string) {
		text, isText := n.(*ast.StringNode)
		switch {
		case isText && text.Value == dag.ForeverWord:
			*to = dag.Forever
		case isText && strings.HasPrefix(text.Value, "-"):
			r.wrong(n, path, "%s is no time to keep runs for; write for example 168h, or forever", quote(text.Value))
		default:
			r.duration(to)(n, path)
		}
	}
}

// positive reads a whole number above 0.
func (r *reader) positive(to *int) field {
	return func(n ast.Node, path string) {
		if _, ok := n.(*ast.NullNode); ok {
			r.empty(path)
			return
		}
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			r.wrong(n, path, "this must be a whole number, but it is %s", kindOf(n))
			return
		}
		v, ok := integer(i)
		if !ok || v < 1 || v > math.MaxInt32 {
			r.wrong(n, path, "%s is out of range; give a whole number from 1", show(i.Token.Value))
			return
		}
		*to = int(v)
	}
}

func integer(n *ast.IntegerNode) (int64, bool) {
	switch v := n.Value.(type) {
	case int64:
		return v, true
	case uint64:
		return int64(v), v <= math.MaxInt64 //nolint:gosec // the second result says whether the first is right
	}
	return 0, false
}

// share reads a number; its range is for the validation to judge.
func (r *reader) share(to **float64) field {
	return func(n ast.Node, path string) {
		var v float64
		switch n := n.(type) {
		case *ast.NullNode:
			r.empty(path)
			return
		case *ast.FloatNode:
			v = n.Value
		case *ast.IntegerNode:
			i, _ := integer(n)
			v = float64(i)
		default:
			r.wrong(n, path, "this must be a number from 0 to 1, but it is %s", kindOf(n))
			return
		}
		*to = &v
	}
}

// locate is the token at a path, or of the nearest place around it that the file has.
func (r *reader) locate(path string) *token.Token {
	for {
		if t, ok := r.at[path]; ok {
			return t
		}
		if path == "" {
			return nil
		}
		path = parent(path)
	}
}

// known tells whether the place, or one around it, has a problem already.
func (r *reader) known(path string) bool {
	for ; path != ""; path = parent(path) {
		if r.bad[path] {
			return true
		}
	}
	return r.bad[""]
}

// canonical replaces the name of a step by its index.
func (r *reader) canonical(path string) string {
	rest, ok := strings.CutPrefix(path, "steps.")
	if !ok {
		return path
	}
	end := strings.IndexAny(rest, ".[")
	if end < 0 {
		end = len(rest)
	}
	if byIndex, ok := r.alias[rest[:end]]; ok {
		return byIndex + rest[end:]
	}
	return path
}

func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

// join is the path to a member, as package dag writes it.
func join(path, key string) string {
	if !plain(key) {
		return path + "[" + quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func plain(s string) bool {
	return s != "" && s[0] >= 'a' && s[0] <= 'z' && len(s) <= 63 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}

// quote makes a value of the file fit for one line of an error.
func quote(s string) string {
	const limit = 80
	if len(s) > limit {
		return strconv.QuoteToASCII(s[:limit]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
