package definition_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/pkg/dag"
)

const head = "namespace: shop\nname: order\nversion: 1.0.0\n"

func TestLoadReadsEveryField(t *testing.T) {
	t.Parallel()
	got, err := definition.Load("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	jitter, none := 0.1, 0.0
	want := &dag.Workflow{
		Namespace: "ecommerce", Name: "process_order", Version: "1.0.0", Description: "Reliable checkout\nin two lines\n", Timeout: time.Hour,
		Keep: 14 * 24 * time.Hour, KeepFailed: dag.Forever,
		Defaults: dag.Defaults{Queue: "ecommerce", Timeout: 30 * time.Second, Retry: dag.RetryPolicy{
			MaxAttempts: 3, Backoff: dag.BackoffExponential, BaseDelay: time.Second, MaxDelay: 5 * time.Minute, Jitter: &jitter,
		}},
		InputSchema: json.RawMessage(`{"type":"object","required":["cart_items","customer_info"],"properties":{"cart_items":{"type":"array","items":` +
			`{"type":"object","properties":{"price":{"type":"number","minimum":0.10}}}},"customer_info":{"type":"object","required":["email"],` +
			`"properties":{"email":{"type":"string","format":"email"}}}}}`),
		Steps: []dag.Step{
			{Name: "validate_cart", Handler: "checkout.validate_cart", Timeout: 15 * time.Second},
			{
				Name: "process_payment", DependsOn: []string{"validate_cart"}, Handler: "checkout.process_payment", Description: "charges the card",
				Queue: "ecommerce-critical", Retry: dag.RetryPolicy{MaxAttempts: 5, Jitter: &none},
				Config: json.RawMessage(`{"currency_default":"USD","rate":1.10,"hex":16,"big":12345678901234567890,"exp":1e3,"quoted":"1e3","nothing":null,"on":true}`),
			},
		},
		Profiles: map[string]dag.Profile{
			"express": {Steps: map[string]dag.StepOverride{"process_payment": {
				Timeout: 15 * time.Second, Retry: dag.RetryPolicy{MaxAttempts: 1}, Config: json.RawMessage(`{}`),
			}}},
			"premium": {Defaults: dag.Defaults{Queue: "ecommerce-critical"}},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseNamesPlaceAndMend(t *testing.T) {
	t.Parallel()
	step := "steps:\n  - name: a\n    handler: h\n"
	for _, c := range []struct {
		name, src string
		want      []string // prefix "line:column: " and parts of the message, joined by |
	}{
		{"empty", "", []string{"1:1: the file is empty; a workflow has at least namespace"}},
		{"only comments", "# nothing\n", []string{"1:1: the file is empty"}},
		{"not yaml", head + "steps: [a\n", []string{"4:|this is not YAML|check the indentation"}},
		{"tab", head + "steps:\n\t- name: a\n", []string{":|not YAML"}},
		{"scalar", "hello\n", []string{`1:1: this must be a mapping of fields, but it is the text "hello"`}},
		{"list", "- a\n", []string{"1:1: this must be a mapping of fields, but it is a list"}},
		{"two documents", head + step + "---\n" + head + step, []string{"8:1: a second document begins here; put each workflow into a file of its own"}},
		{"unknown field", head + "timout: 1h\n" + step, []string{`4:1: unknown field "timout"; did you mean "timeout"?`}},
		{"unknown field far off", head + "zebra: 1h\n" + step, []string{`4:1: unknown field "zebra"; use defaults, description, input_schema, name`}},
		{"unknown step field", head + step + "    retries: 3\n", []string{`7:5: steps[0]: unknown field "retries"|"retry"`}},
		{"misspelt required field", head + "steps:\n  - name: a\n    handlr: h\n", []string{`6:5: steps[0]: unknown field "handlr"; did you mean "handler"?`}},
		{"duplicate key", head + "name: again\n" + step, []string{`4:1: the key "name" is there twice, first on line 2; remove one`}},
		{"number for text", "namespace: shop\nname: order\nversion: 1.0\n" + step, []string{`3:10: version: this must be text, but YAML reads the number 1.0; quote it: "1.0"`}},
		{"bool for text", "namespace: true\nname: order\nversion: 1.0.0\n" + step, []string{`1:12: namespace: |the truth value true; quote it`}},
		{"no value", "namespace:\nname: order\nversion: 1.0.0\n" + step, []string{"1:1: namespace: there is no value; give one or remove the line"}},
		{"bad version", "namespace: shop\nname: order\nversion: v1\n" + step, []string{`3:10: version: "v1" is not a semantic version; write three numbers`}},
		{"missing fields", "name: order\n" + step, []string{"1:1: namespace: it is required", "1:1: version: it is required"}},
		{"no steps", head, []string{"1:1: steps: a workflow needs at least one step"}},
		{"steps no list", head + "steps: {a: b}\n", []string{"4:8: steps: this must be a list, but it is a mapping; begin each entry with a dash"}},
		{"step no mapping", head + "steps: [a]\n", []string{`4:9: steps[0]: this must be a mapping of fields, but it is the text "a"`}},
		{"duration without unit", head + "timeout: 30\n" + step, []string{"4:10: timeout: the number 30 has no unit; write for example 30s"}},
		{"bad duration", head + "timeout: soon\n" + step, []string{`4:10: timeout: "soon" is no duration; write a number with a unit`}},
		{"zero duration", head + "timeout: 0s\n" + step, []string{"4:10: timeout: 0 is not a time; give a positive duration"}},
		{"duration list", head + "timeout: [1s]\n" + step, []string{"4:10: timeout: this must be a duration such as 30s|a list"}},
		{"retention without unit", head + "retention: 7\n" + step, []string{"4:12: retention: the number 7 has no unit; write for example 7s"}},
		{"retention in days", head + "retention: 7d\n" + step, []string{`4:12: retention: "7d" is no duration`}},
		{"negative retention", head + "retention_failed: -1ns\n" + step, []string{`4:19: retention_failed: "-1ns" is no time to keep runs for; write for example 168h, or forever`}},
		{"short retention", head + "retention: 10s\n" + step, []string{"4:12: retention: 10s is not between 1m0s and 87840h0m0s; give a time in between, or forever"}},
		{"misspelt retention", head + "retention: for ever\n" + step, []string{`4:12: retention: "for ever" is no duration`}},
		{"out of range", head + step + "    timeout: 13h\n", []string{"7:14: steps.a.timeout: 13h0m0s is not between 1s and 12h0m0s"}},
		{"max_attempts zero", head + step + "    retry: {max_attempts: 0}\n", []string{"7:27: steps[0].retry.max_attempts: 0 is out of range; give a whole number from 1"}},
		{"max_attempts text", head + step + "    retry: {max_attempts: many}\n", []string{"7:27: |this must be a whole number"}},
		{"max_attempts fraction", head + step + "    retry: {max_attempts: 1.5}\n", []string{"7:27: |this must be a whole number, but it is the number 1.5"}},
		{"jitter", head + step + "    retry: {jitter: 2}\n", []string{"7:21: steps.a.retry.jitter: 2 is not between 0 and 1"}},
		{"backoff", head + step + "    retry: {backoff: cubic}\n", []string{`7:22: |there is no back-off "cubic"; use constant, linear or exponential`}},
		{"config no mapping", head + step + "    config: [1]\n", []string{"7:13: steps[0].config: this must be a mapping, but it is a list"}},
		{"config number without form", head + step + "    config: {a: .inf}\n", []string{"7:17: steps[0].config: a number without a finite value has no form in JSON"}},
		{"config key", head + step + "    config: {1: a}\n", []string{"7:14: steps[0].config: a key must be text; quote it"}},
		{"config duplicate", head + step + "    config: {k: a, k: b}\n", []string{`7:20: steps[0].config: the key "k" is there twice`}},
		{"unknown parent", head + step + "  - name: bee\n    handler: h\n    depends_on: [a, be]\n", []string{`9:21: steps.bee.depends_on[1]: there is no step "be"; did you mean "bee"?`}},
		{"self", head + step + "    depends_on: [a]\n", []string{"7:18: steps.a.depends_on[0]: step \"a\" depends on itself; remove this dependency"}},
		{"duplicate step", head + step + "  - name: a\n    handler: h\n", []string{`7:11: steps[1].name: "a" is already the name of steps[0]`}},
		{"bad name", head + "steps:\n  - name: A b\n    handler: h\n", []string{`5:11: steps[0].name: "A b" is no name: use lower-case letters`}},
		{
			"cycle", head + "steps:\n  - {name: a, handler: h, depends_on: [c]}\n  - {name: b, handler: h, depends_on: [a]}\n  - {name: c, handler: h, depends_on: [b]}\n",
			[]string{"5:40: steps depend on each other in a circle: a → b → c → a; remove one of these dependencies"},
		},
		{"profile of unknown step", head + step + "profiles:\n  fast:\n    steps: {b: {timeout: 5s}}\n", []string{`9:16: profiles.fast.steps.b: there is no step "b"`}},
		{"profile name", head + step + "profiles: {\"Fast Lane\": {}}\n", []string{`7:25: profiles["Fast Lane"]: "Fast Lane" is no name`}},
		{"profile delay", head + step + "profiles: {fast: {defaults: {retry: {max_delay: 1ms}}}}\n", []string{"7:49: profiles.fast.defaults.retry.max_delay: 1ms is less than the default base_delay"}},
		{"anchor", head + "description: &d x\n" + step, []string{"4:14: anchors and aliases are not supported; write the value out"}},
		{"merge key", head + step + "    <<: {queue: q}\n", []string{"7:5: merge keys are not supported"}},
		{"tag", head + "description: !!binary aGk=\n" + step, []string{"4:14: tags are not supported"}},
		{"schema keyword", head + "input_schema:\n  type: objekt\n" + step, []string{`5:9: input_schema: not a JSON Schema: /type: |"object"`}},
		{"schema regexp", head + "input_schema: {pattern: \"[\"}\n" + step, []string{"4:25: input_schema: not a JSON Schema: /pattern: must be a valid regex"}},
		{"schema external reference", head + "input_schema:\n  $ref: https://example.com/x.json#/a\n" + step, []string{"5:9: input_schema: a reference to another document is not allowed; put what it names under $defs"}},
		{"schema file reference", head + "input_schema:\n  properties:\n    a: {$ref: file:///etc/passwd}\n" + step, []string{"6:15: input_schema: a reference to another document is not allowed"}},
		{"schema missing definition", head + "input_schema:\n  $ref: \"#/$defs/none\"\n" + step, []string{"5:9: input_schema: |not found"}},
		{"schema is text", head + "input_schema: text\n" + step, []string{"4:15: input_schema: "}},
		{"not utf-8", head + "description: \"\xff\"\n" + step, []string{"4:1: this line is not UTF-8"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := definition.Parse("x.yaml", []byte(c.src))
			e, ok := errors.AsType[*definition.Error](err)
			if !ok || !errors.Is(err, dag.ErrInvalid) {
				t.Fatalf("got %v, want a *definition.Error that is dag.ErrInvalid", err)
			}
			if len(e.Problems) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(e.Problems), len(c.want), err)
			}
			for i, p := range e.Problems {
				text := fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message)
				for part := range strings.SplitSeq(c.want[i], "|") {
					if !strings.Contains(text, part) {
						t.Errorf("problem %q lacks %q", text, part)
					}
				}
			}
		})
	}
}

func TestParseReportsAllAtOnceWithExcerpts(t *testing.T) {
	t.Parallel()
	src := "namespace: shop\nname: order\nversion: 1.0\ntimout: 1h\nsteps:\n  - name: a\n    handler: h\n    timeout: 15\n    depends_on: [b]\n"
	_, err := definition.Parse("order.yaml", []byte(src))
	want := `order.yaml:3:10: version: this must be text, but YAML reads the number 1.0; quote it: "1.0"
  2 | name: order
  3 | version: 1.0
    |          ^
order.yaml:4:1: unknown field "timout"; did you mean "timeout"?
  3 | version: 1.0
  4 | timout: 1h
    | ^
order.yaml:8:14: steps[0].timeout: the number 15 has no unit; write for example 15s, or 5m, or 1h30m
  7 |     handler: h
  8 |     timeout: 15
    |              ^
order.yaml:9:18: steps.a.depends_on[0]: there is no step "b"
  8 |     timeout: 15
  9 |     depends_on: [b]
    |                  ^`
	if d := cmp.Diff(want, fmt.Sprint(err)); d != "" {
		t.Error(d)
	}
}

func TestParseRefusesBombsQuickly(t *testing.T) {
	t.Parallel()
	fill := func(unit string) string { return strings.Repeat(unit, (dag.MaxSourceBytes-200)/len(unit)) }
	var laughs, keys strings.Builder
	laughs.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 20; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i, i, i-1, i-1, i-1, i-1)
	}
	for i := range 20_000 {
		fmt.Fprintf(&keys, "k%d: v\n", i)
	}
	for name, c := range map[string]struct{ src, want string }{
		"billion laughs": {laughs.String(), "anchors and aliases"},
		"brackets":       {"steps: " + fill("["), "nested deeper than the limit of 64"},
		"braces":         {"steps: " + fill("{"), "nested deeper"},
		"dashes":         {"steps:\n" + fill("- "), "nested deeper"},
		"questions":      {fill("? "), "nested deeper"},
		"many keys":      {keys.String(), "more keys than the limit of 4096"},
		"too long":       {fill("#") + strings.Repeat("#", 300), "limit of 262144 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := definition.Parse("bomb.yaml", []byte(c.src))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %.300v, want an error with %q", err, c.want)
			}
			if took := time.Since(began); took > 30*time.Second { // what is not bounded takes minutes
				t.Errorf("took %s", took)
			}
			if n := len(err.Error()); n > 32<<10 {
				t.Errorf("the error has %d bytes", n)
			}
		})
	}
}

func TestLoadDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := head + "steps: [{name: a, handler: h}]\n"
	write("b/two.yml", strings.Replace(good, "1.0.0", "2.0.0", 1))
	write("a/one.yaml", good)
	write("notes.txt", "not a definition")
	write("..data/one.yaml", good)
	files, err := definition.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		rel, _ := filepath.Rel(dir, f.Path)
		got = append(got, rel+" "+f.Workflow.Version)
		if !strings.HasPrefix(f.Source, "namespace: shop") {
			t.Errorf("source of %s is %q", rel, f.Source)
		}
	}
	if d := cmp.Diff([]string{"a/one.yaml 1.0.0", "b/two.yml 2.0.0"}, got); d != "" {
		t.Error(d)
	}

	write("c/again.yaml", good)
	write("c/bad.yaml", "name: x\n")
	_, err = definition.LoadDir(dir)
	for _, part := range []string{"a/one.yaml and ", "c/again.yaml both define shop/order@1.0.0; raise the version", "c/bad.yaml:1:1: namespace: it is required"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q in it", err, part)
		}
	}
	if _, err := definition.LoadDir(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for a directory that is not there", err)
	}
}

func FuzzParse(f *testing.F) {
	good, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, s := range []string{"", "a: [", "- - -", "a: &x *x", "? a\n: b", "a: |\n  x\n", "{a: {b: c}}", "a: 'b\n", "---\n...\n---", "%YAML 1.2\n---\na: b", "a: \"\\x\"", head + "steps: [{name: a, handler: h, depends_on: [a]}]", head + "input_schema: {$ref: '#'}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		w, err := definition.Parse("fuzz.yaml", src)
		if err == nil {
			if err := w.Validate(); err != nil {
				t.Fatalf("parsed, but invalid: %v", err)
			}
			if _, err := dag.Compile(w); err != nil {
				t.Fatalf("parsed, but does not compile: %v", err)
			}
			return
		}
		e, ok := errors.AsType[*definition.Error](err)
		if !ok || len(e.Problems) == 0 {
			t.Fatalf("error %v has no problems", err)
		}
		for _, p := range e.Problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Fatalf("problem %+v has no place or message", p)
			}
		}
	})
}
