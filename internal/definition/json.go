package definition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// config reads a step's settings, an object whose content only its handler knows.
func (r *reader) config(to *json.RawMessage) field {
	return func(n ast.Node, path string) {
		if _, ok := pairs(n); !ok {
			if n.Type() == ast.NullType {
				r.empty(path)
				return
			}
			r.wrong(n, path, "this must be a mapping, but it is %s", kindOf(n))
			return
		}
		c := converter{reader: r, root: path}
		if c.value(n, ""); c.ok() {
			*to = c.out.Bytes()
		}
	}
}

// converter writes YAML as JSON. The text of numbers is kept.
type converter struct {
	*reader

	root   string // path of the whole
	out    bytes.Buffer
	failed bool
}

func (c *converter) ok() bool { return !c.failed }

// value writes n, whose JSON pointer inside the whole is given; its place is remembered under root#pointer.
func (c *converter) value(n ast.Node, pointer string) {
	if n == nil {
		c.out.WriteString("null")
		return
	}
	c.at[c.root+"#"+pointer] = tokenOf(n)
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		c.object(n, pointer)
	case *ast.SequenceNode:
		c.out.WriteByte('[')
		for i, v := range n.Values {
			if i > 0 {
				c.out.WriteByte(',')
			}
			c.value(v, pointer+"/"+strconv.Itoa(i))
		}
		c.out.WriteByte(']')
	case *ast.NullNode:
		c.out.WriteString("null")
	case *ast.BoolNode:
		c.out.WriteString(strconv.FormatBool(n.Value))
	case *ast.IntegerNode:
		c.number(n, n.Token.Value, fmt.Sprint(n.Value))
	case *ast.FloatNode:
		c.number(n, n.Token.Value, strconv.FormatFloat(n.Value, 'g', -1, 64))
	case *ast.LiteralNode:
		c.text(n.Value.Value)
	case *ast.StringNode:
		if n.Token.Type == token.StringType && isNumber(n.Value) { // such as 1e3, which this parser takes for text
			c.out.WriteString(n.Value)
			return
		}
		c.text(n.Value)
	default:
		c.fail(n, kindOf(n)+" has no form in JSON; write a finite number or quote it")
	}
}

func (c *converter) object(n ast.Node, pointer string) {
	values, _ := pairs(n)
	seen := make(map[string]bool, len(values))
	c.out.WriteByte('{')
	for i, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			c.fail(v.Key, "a key must be text; quote it")
			continue
		}
		if seen[key.Value] {
			c.fail(key, "the key "+quote(key.Value)+" is there twice; remove one")
			continue
		}
		seen[key.Value] = true
		if i > 0 {
			c.out.WriteByte(',')
		}
		c.text(key.Value)
		c.out.WriteByte(':')
		c.value(v.Value, pointer+"/"+escapePointer(key.Value))
	}
	c.out.WriteByte('}')
}

// number writes the text of the file where JSON has the same notation, else the value.
func (c *converter) number(n ast.Node, text, value string) {
	switch {
	case isNumber(text):
		c.out.WriteString(text)
	case isNumber(value):
		c.out.WriteString(value)
	default:
		c.fail(n, show(text)+" has no form in JSON; write a plain number or quote it")
	}
}

func (c *converter) text(s string) {
	raw, err := json.Marshal(s)
	if err != nil { // of a string it cannot be
		raw = []byte(`""`)
	}
	c.out.Write(raw)
}

func (c *converter) fail(n ast.Node, message string) {
	c.failed = true
	c.bad[c.root] = true
	c.problemAt(tokenOf(n), c.root+": "+message)
}

func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') && json.Valid([]byte(s))
}

func escapePointer(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }
