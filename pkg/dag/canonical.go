package dag

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// CheckJSON is the guard for any JSON from outside: valid, UTF-8, nested at most [MaxJSONDepth] deep, and at most maxBytes long. The
// error wraps [ErrInvalid] and says what is wrong, where, and the limit.
func CheckJSON(raw []byte, maxBytes int) error {
	if p := jsonProblem(raw, maxBytes); p != "" {
		return fmt.Errorf("%w JSON: %s", ErrInvalid, p)
	}
	return nil
}

// CanonicalJSON returns the one form of a JSON value that does not depend on who wrote it: object keys sorted by their bytes, white
// space out, strings with the fewest escapes, the text of numbers as it was (1.0 stays 1.0). An object with the same key twice is
// refused, because readers disagree about its meaning. The error wraps [ErrInvalid].
func CanonicalJSON(raw []byte) ([]byte, error) {
	if p := jsonProblem(raw, len(raw)); p != "" {
		return nil, fmt.Errorf("%w JSON: %s", ErrInvalid, p)
	}
	out, err := canonical(raw)
	if err != nil {
		return nil, fmt.Errorf("%w JSON: %w", ErrInvalid, err)
	}
	return out, nil
}

// Fingerprint is the SHA-256, in 64 hexadecimal digits, of a value's [CanonicalJSON]. Two requests with one idempotency key are the
// same request when their fingerprints are.
func Fingerprint(raw []byte) (string, error) {
	c, err := CanonicalJSON(raw)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(c)
	return hex.EncodeToString(sum[:]), nil
}

// digest is the name of content: the first 32 hexadecimal digits of its SHA-256.
func digest(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:16])
}

func jsonProblem(raw []byte, maxBytes int) string {
	switch {
	case len(raw) > maxBytes:
		return fmt.Sprintf("it has %d bytes, more than the limit of %d", len(raw), maxBytes)
	case len(bytes.TrimSpace(raw)) == 0:
		return "it is empty"
	case tooDeep(raw):
		return fmt.Sprintf("it is nested deeper than the limit of %d", MaxJSONDepth)
	case !utf8.Valid(raw):
		return "it is not UTF-8"
	case json.Valid(raw):
		return ""
	}
	var v json.RawMessage
	err := json.Unmarshal(raw, &v)
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("%s (at byte %d)", s.Error(), s.Offset)
	}
	return "it does not parse"
}

// canonical rewrites what has no jsonProblem; what is left to refuse are keys that are there twice.
func canonical(raw []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	c := canonicalizer{dec: dec}
	return c.value(make([]byte, 0, len(raw)))
}

// tooDeep looks only at brackets outside of strings, so that it needs no stack of its own.
func tooDeep(raw []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxJSONDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

type canonicalizer struct {
	dec  *json.Decoder
	path []string // keys of the objects around
}

func (c *canonicalizer) token() (json.Token, error) {
	t, err := c.dec.Token()
	if err != nil {
		return nil, fmt.Errorf("read token: %w", err)
	}
	return t, nil
}

// value appends the next value.
func (c *canonicalizer) value(out []byte) ([]byte, error) {
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			return c.array(out)
		}
		return c.object(out)
	case string:
		return appendString(out, t), nil
	case json.Number:
		return append(out, t...), nil
	case bool:
		return strconv.AppendBool(out, t), nil
	default:
		return append(out, "null"...), nil
	}
}

func (c *canonicalizer) array(out []byte) ([]byte, error) {
	out = append(out, '[')
	var err error
	for i := 0; c.dec.More(); i++ {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = c.value(out); err != nil {
			return nil, err
		}
	}
	if _, err = c.token(); err != nil {
		return nil, err
	}
	return append(out, ']'), nil
}

func (c *canonicalizer) object(out []byte) ([]byte, error) {
	type entry struct {
		key   string
		value []byte
	}
	var entries []entry
	for c.dec.More() {
		token, err := c.token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, io.ErrUnexpectedEOF
		}
		c.path = append(c.path, key)
		value, err := c.value(nil)
		if err != nil {
			return nil, err
		}
		c.path = c.path[:len(c.path)-1]
		entries = append(entries, entry{key, value})
	}
	if _, err := c.token(); err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	out = append(out, '{')
	for i, e := range entries {
		if i > 0 {
			if e.key == entries[i-1].key {
				return nil, fmt.Errorf("the key %s is there twice%s; remove one", quote(e.key), inside(c.path))
			}
			out = append(out, ',')
		}
		out = append(appendString(out, e.key), ':')
		out = append(out, e.value...)
	}
	return append(out, '}'), nil
}

// inside is where an object stands, as a JSON pointer.
func inside(path []string) string {
	if len(path) == 0 {
		return ""
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, key := range path {
		b.WriteString("/" + escape.Replace(key))
	}
	return " in " + quote(b.String())
}

// appendString escapes only what JSON demands.
func appendString(out []byte, s string) []byte {
	const digits = "0123456789abcdef"
	out = append(out, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c == '\r':
			out = append(out, '\\', 'r')
		case c == '\t':
			out = append(out, '\\', 't')
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
