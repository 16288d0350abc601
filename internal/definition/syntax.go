package definition

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/stepwell/stepwell/pkg/dag"
)

// maxKeys bounds the keys of one block mapping. The parser's time grows with its square.
const maxKeys = 4096

// syntax turns the source into the one node that the file holds, or notes why it cannot.
func (r *reader) syntax(src string) (body ast.Node) {
	tokens := lexer.Tokenize(src)
	r.refuse(tokens)
	r.bounds(tokens)
	if len(r.problems) > 0 {
		return nil
	}
	// The parser is fed from outside; should it panic on some input, that file is refused and nothing else suffers.
	defer func() {
		if recover() != nil {
			r.problem(token.Position{Line: 1, Column: 1}, "this cannot be read as YAML; simplify what is unusual in it")
			body = nil
		}
	}()
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntaxError(err)
		return nil
	}
	return r.single(file)
}

func (r *reader) syntaxError(err error) {
	at := token.Position{Line: 1, Column: 1}
	message := err.Error()
	if e, ok := errors.AsType[yaml.Error](err); ok {
		message = e.GetMessage()
		if tok := e.GetToken(); tok != nil && tok.Position != nil {
			at = *tok.Position
		}
	}
	r.problem(at, "this is not YAML: "+message+"; check the indentation, colons and quotes near here")
}

// single returns the body of the only document.
func (r *reader) single(file *ast.File) ast.Node {
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if doc.Body.Type() == ast.DirectiveType {
			r.problemAt(tokenOf(doc.Body), "directives are not supported; remove this line")
			return nil
		}
		if body != nil {
			r.problemAt(tokenOf(doc.Body), "a second document begins here; put each workflow into a file of its own")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		r.problem(token.Position{Line: 1, Column: 1}, "the file is empty; a workflow has at least namespace, name, version and steps")
	}
	return body
}

// refuse notes every use of what definitions may not use.
func (r *reader) refuse(tokens token.Tokens) {
	for _, t := range tokens {
		switch t.Type {
		case token.AnchorType, token.AliasType:
			r.problemAt(t, "anchors and aliases are not supported; write the value out, or use defaults")
		case token.MergeKeyType:
			r.problemAt(t, "merge keys are not supported; write the fields out, or use defaults")
		case token.TagType:
			r.problemAt(t, "tags are not supported; remove it, and quote the value if it shall be text")
		case token.InvalidType:
			r.problemAt(t, "this is not YAML: "+t.Error+"; check the quotes and characters here")
		default:
		}
		if len(r.problems) > maxProblems {
			return
		}
	}
}

// level is a block collection that is open while the tokens are counted.
type level struct {
	column   int
	sequence bool
	keys     int
}

// bounds refuses what is nested too deep or too wide, before the parser, which recurses, sees it.
func (r *reader) bounds(tokens token.Tokens) {
	var open []level
	flow := 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType, token.MappingKeyType:
			if flow == 0 {
				open = enter(open, t.Position.Column, true)
			}
		case token.MappingValueType:
			if flow == 0 && t.Prev != nil {
				open = enter(open, t.Prev.Position.Column, false)
			}
		case token.DocumentHeaderType:
			open = open[:0]
		default:
		}
		if len(open)+flow > dag.MaxJSONDepth {
			r.problemAt(t, fmt.Sprintf("this is nested deeper than the limit of %d levels; flatten it", dag.MaxJSONDepth))
			return
		}
		if n := len(open); n > 0 && open[n-1].keys > maxKeys {
			r.problemAt(t, fmt.Sprintf("this mapping has more keys than the limit of %d; remove some", maxKeys))
			return
		}
	}
}

// enter closes what ends where a sequence's entry or a mapping's key begins in a column, and opens what begins.
func enter(open []level, column int, sequence bool) []level {
	for n := len(open); n > 0; n = len(open) {
		top := &open[n-1]
		if top.column == column && top.sequence == sequence {
			top.keys++
			return open
		}
		// A sequence may stand in the column of the key that holds it.
		if top.column < column || top.column == column && sequence {
			break
		}
		open = open[:n-1]
	}
	return append(open, level{column: column, sequence: sequence, keys: 1})
}

// tokenOf is the first token of a node.
func tokenOf(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return tokenOf(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return tokenOf(n.Key)
	case *ast.DocumentNode:
		return tokenOf(n.Body)
	}
	return n.GetToken()
}

// pairs are the entries of a mapping, in whichever form the parser gives it.
func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// kindOf names what a node is, for errors.
func kindOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return "the truth value " + show(n.Token.Value)
	case *ast.IntegerNode:
		return "the number " + show(n.Token.Value)
	case *ast.FloatNode:
		return "the number " + show(n.Token.Value)
	case *ast.InfinityNode, *ast.NanNode:
		return "a number without a finite value"
	case *ast.StringNode:
		return "the text " + quote(n.Value)
	case *ast.LiteralNode:
		return "a text block"
	}
	return "something else"
}

// show keeps a scalar of the source fit for one line of an error.
func show(s string) string {
	return strings.Trim(quote(s), `"`)
}
