package dag_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stepwell/stepwell/pkg/dag"
)

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	cases := []struct{ name, raw, want string }{
		{"object", ` {"a": [1, "x", null]} `, ""},
		{"number", `1`, ""},
		{"deepest", nested(64), ""},
		{"brackets in a string", `"` + strings.Repeat(`[\"`, 20) + `"`, ""},
		{"empty", ``, "invalid JSON: it is empty"},
		{"blank", " \n", "invalid JSON: it is empty"},
		{"too deep", nested(65), "invalid JSON: it is nested deeper than the limit of 64"},
		{"too deep and open", strings.Repeat(`[`, 90), "invalid JSON: it is nested deeper than the limit of 64"},
		{"too long", `"` + strings.Repeat("x", 199) + `"`, "invalid JSON: it has 201 bytes, more than the limit of 200"},
		{"not UTF-8", "\"\xff\"", "invalid JSON: it is not UTF-8"},
		{"two values", `{} {}`, "invalid JSON: invalid character '{' after top-level value (at byte 4)"},
		{"cut off", `{"a":`, "invalid JSON: unexpected end of JSON input (at byte 5)"},
		{"comma", `{"a":1,}`, "invalid JSON: invalid character '}' looking for beginning of object key string (at byte 8)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := dag.CheckJSON([]byte(c.raw), 200)
			if text(err) != c.want || (err != nil && !errors.Is(err, dag.ErrInvalid)) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestCanonicalJSON(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, raw, want, err string }{
		{name: "sorted", raw: "{\"b\": {\"z\":1, \"y\":[3, 2]},\n\"a\" :true}", want: `{"a":true,"b":{"y":[3,2],"z":1}}`},
		{name: "number text kept", raw: `[1.0, 1, 1e2, 1E+2, -0, 123456789012345678901234567890]`, want: `[1.0,1,1e2,1E+2,-0,123456789012345678901234567890]`},
		{name: "strings", raw: `["\u0041\/\u003c\n\u000b\"\\ é \u2028"]`, want: "[\"A/<\\n\\u000b\\\"\\\\ é \u2028\"]"},
		{name: "surrogates", raw: `"\ud83d\ude00 \ud800"`, want: "\"😀 \ufffd\""},
		{name: "keys by bytes", raw: `{"é":1,"z":2,"":3,"Z":4}`, want: `{"":3,"Z":4,"z":2,"é":1}`},
		{name: "scalars", raw: ` null `, want: `null`},
		{name: "false", raw: `[false,{},[]]`, want: `[false,{},[]]`},
		{name: "key twice", raw: `{"a":1,"b":2,"a":3}`, err: `invalid JSON: the key "a" is there twice; remove one`},
		{name: "key twice by escape", raw: `{"x":[{"a":1,"\u0061":3}]}`, err: `invalid JSON: the key "a" is there twice in "/x"; remove one`},
		{name: "pointer", raw: `{"a/b":{"~":[{"c":{"d":1,"d":1}}]}}`, err: `invalid JSON: the key "d" is there twice in "/a~1b/~0/c"; remove one`},
		{name: "broken", raw: `{`, err: `invalid JSON: unexpected end of JSON input (at byte 1)`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := dag.CanonicalJSON([]byte(c.raw))
			if string(got) != c.want || text(err) != c.err || (err != nil && !errors.Is(err, dag.ErrInvalid)) {
				t.Errorf("got %s, %v\nwant %s, %s", got, err, c.want, c.err)
			}
		})
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	a, err := dag.Fingerprint([]byte(`{"a":1, "b":2}`))
	if err != nil || len(a) != 64 {
		t.Fatalf("%q, %v", a, err)
	}
	for raw, same := range map[string]bool{"{\"b\":2,\t\"a\":1}": true, `{"a":1,"b":2.0}`: false, `{"a":1}`: false} {
		if b, err := dag.Fingerprint([]byte(raw)); err != nil || (a == b) != same {
			t.Errorf("%s: same %t, %v", raw, a == b, err)
		}
	}
	if _, err := dag.Fingerprint([]byte(`{"a":1,"a":1}`)); !errors.Is(err, dag.ErrInvalid) {
		t.Errorf("a key twice: %v", err)
	}
}
