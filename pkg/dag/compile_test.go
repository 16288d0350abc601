package dag_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stepwell/stepwell/pkg/dag"
)

func TestCompileFillsDefaults(t *testing.T) {
	t.Parallel()
	g := compile(t, shape("a", "b: a"))
	want := &dag.Graph{
		Namespace: "test", Name: "shape", Version: "1.0.0", Timeout: dag.DefaultRunTimeout,
		Nodes: []dag.Node{
			{Name: "a", Handler: "test.a", Children: []string{"b"}},
			{Name: "b", Handler: "test.b", Parents: []string{"a"}},
		},
		Digest: g.Digest,
	}
	for i := range want.Nodes {
		n := &want.Nodes[i]
		n.Queue, n.Join, n.Timeout = "test", dag.JoinNoneFailed, dag.DefaultStepTimeout
		n.Retry = dag.Policy{MaxAttempts: 3, Backoff: dag.BackoffExponential, BaseDelay: time.Second, MaxDelay: 5 * time.Minute, Jitter: 0.1}
	}
	if diff := cmp.Diff(want, g, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("graph (-want +got):\n%s", diff)
	}
	if len(g.Digest) != 32 {
		t.Errorf("digest %q has no 32 digits", g.Digest)
	}
}

func TestCompileOrder(t *testing.T) {
	t.Parallel()
	g := compile(t, shape("z: m a", "m", "a: m", "q: z", "b"))
	if diff := cmp.Diff([]string{"m", "a", "z", "q", "b"}, names(g)); diff != "" {
		t.Errorf("topological order (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "z"}, node(t, g, "m").Children); diff != "" {
		t.Errorf("children of m in topological order (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"m", "a"}, node(t, g, "z").Parents); diff != "" {
		t.Errorf("parents of z as defined (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"m", "b"}, g.Roots()); diff != "" {
		t.Errorf("roots (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"m", "a", "z"}, g.Ancestors("q")); diff != "" {
		t.Errorf("ancestors of q (-want +got):\n%s", diff)
	}
	if got := slices.Concat(g.Ancestors("b"), g.Ancestors("unknown")); len(got) != 0 {
		t.Errorf("a root and an unknown step have ancestors: %v", got)
	}
	if _, ok := g.Node("unknown"); ok {
		t.Error("there is a node called unknown")
	}
}

func TestCheckoutProfiles(t *testing.T) {
	t.Parallel()
	g := compile(t, checkout(), "express", "premium")
	for _, n := range g.Nodes {
		if n.Queue != "ecommerce-critical" {
			t.Errorf("step %s is on queue %s", n.Name, n.Queue)
		}
	}
	pay, mail := node(t, g, "process_payment"), node(t, g, "send_confirmation")
	if pay.Timeout != 15*time.Second || pay.Retry.MaxAttempts != 1 || mail.Retry.MaxAttempts != 2 || mail.Timeout != 10*time.Second {
		t.Errorf("express changed payment to %+v and mail to %+v", pay, mail)
	}
	if plain := node(t, compile(t, checkout()), "process_payment"); plain.Queue != "ecommerce" || plain.Retry.MaxAttempts != 3 {
		t.Errorf("without profiles payment is %+v", plain)
	}
}

// Each case says who speaks about one step and whose word holds.
func TestCompilePrecedence(t *testing.T) {
	t.Parallel()
	override := func(s int) map[string]dag.StepOverride {
		return map[string]dag.StepOverride{"a": {
			Queue: "override", Timeout: time.Duration(s) * time.Second, Retry: dag.RetryPolicy{MaxAttempts: s},
			Config: json.RawMessage(`{"from": "override"}`),
		}}
	}
	cases := []struct {
		name     string
		change   func(*dag.Workflow)
		profiles []string
		queue    string
		attempts int
		timeout  time.Duration
		config   string
	}{
		{name: "package", change: func(*dag.Workflow) {}, queue: "test", attempts: 3, timeout: 30 * time.Second},
		{
			name:   "workflow defaults",
			change: func(w *dag.Workflow) { w.Defaults = defaults("workflow", 10) },
			queue:  "workflow", attempts: 10, timeout: 10 * time.Second,
		},
		{
			name: "profile defaults", profiles: []string{"p"},
			change: func(w *dag.Workflow) {
				w.Defaults = defaults("workflow", 10)
				w.Profiles = map[string]dag.Profile{"p": {Defaults: defaults("profile", 11)}}
			},
			queue: "profile", attempts: 11, timeout: 11 * time.Second,
		},
		{
			name: "step over profile defaults", profiles: []string{"p"},
			change: func(w *dag.Workflow) {
				w.Profiles = map[string]dag.Profile{"p": {Defaults: defaults("profile", 11)}}
				w.Steps[0] = dag.Step{
					Name: "a", Handler: "h", Queue: "own", Timeout: 12 * time.Second,
					Retry: dag.RetryPolicy{MaxAttempts: 12}, Config: json.RawMessage(`{"from":"step"}`),
				}
			},
			queue: "own", attempts: 12, timeout: 12 * time.Second, config: `{"from":"step"}`,
		},
		{
			name: "override over step and over a later profile's defaults", profiles: []string{"p", "q"},
			change: func(w *dag.Workflow) {
				w.Steps[0].Queue, w.Steps[0].Config = "own", json.RawMessage(`{"from":"step", "more":1}`)
				w.Profiles = map[string]dag.Profile{"p": {Steps: override(13)}, "q": {Defaults: defaults("profile", 11)}}
			},
			queue: "override", attempts: 13, timeout: 13 * time.Second, config: `{"from":"override"}`,
		},
		{
			name: "later override", profiles: []string{"q", "p"},
			change: func(w *dag.Workflow) {
				w.Profiles = map[string]dag.Profile{
					"p": {Steps: override(13)},
					"q": {Steps: map[string]dag.StepOverride{"a": {Queue: "first", Timeout: time.Second}}},
				}
			},
			queue: "override", attempts: 13, timeout: 13 * time.Second, config: `{"from":"override"}`,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := shape("a")
			c.change(w)
			n := node(t, compile(t, w, c.profiles...), "a")
			if n.Queue != c.queue || n.Retry.MaxAttempts != c.attempts || n.Timeout != c.timeout || string(n.Config) != c.config {
				t.Errorf("got queue %s, %d attempts, timeout %v, config %s", n.Queue, n.Retry.MaxAttempts, n.Timeout, n.Config)
			}
		})
	}
}

func defaults(queue string, n int) dag.Defaults {
	return dag.Defaults{Queue: queue, Timeout: time.Duration(n) * time.Second, Retry: dag.RetryPolicy{MaxAttempts: n}}
}

func TestCompileZeroJitterIsKept(t *testing.T) {
	t.Parallel()
	w := shape("a")
	half, none := 0.5, 0.0
	w.Defaults.Retry.Jitter = &half
	w.Steps[0].Retry.Jitter = &none
	if j := node(t, compile(t, w), "a").Retry.Jitter; j != 0 {
		t.Errorf("jitter is %v", j)
	}
}

func TestCompileProfileErrors(t *testing.T) {
	t.Parallel()
	clash := shape("a")
	clash.Profiles = map[string]dag.Profile{
		"slow":  {Defaults: dag.Defaults{Retry: dag.RetryPolicy{BaseDelay: time.Minute}}},
		"quick": {Defaults: dag.Defaults{Retry: dag.RetryPolicy{MaxDelay: time.Second}}},
	}
	cases := []struct {
		name     string
		workflow *dag.Workflow
		profiles []string
		want     string
	}{
		{"unknown", checkout(), []string{"expres", "premium"}, `profiles: there is no profile "expres"; this workflow has express, premium`},
		{"none there", shape("a"), []string{"express"}, `profiles: there is no profile "express"; this workflow has none`},
		{"twice", checkout(), []string{"express", "express"}, `profiles: profile "express" is chosen twice; choose it once`},
		{
			"do not go together", clash,
			[]string{"slow", "quick"},
			"profiles.slow.defaults.retry.base_delay: 1m0s is more than the max_delay of 1s (profiles.quick.defaults.retry); raise that or lower this",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := dag.Compile(c.workflow, c.profiles...)
			if !errors.Is(err, dag.ErrInvalid) || err.Error() != c.want {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestCompileLeavesTheWorkflowAlone(t *testing.T) {
	t.Parallel()
	w := checkout()
	g := compile(t, w, "express", "premium")
	if diff := cmp.Diff(checkout(), w); diff != "" {
		t.Errorf("compile changed the workflow:\n%s", diff)
	}
	w.Steps[1].DependsOn[0] = "changed"
	if p := node(t, g, "process_payment").Parents; p[0] != "validate_cart" {
		t.Errorf("the graph shares memory with the workflow: %v", p)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	base := checkout()
	base.Steps[0].Config = json.RawMessage(`{"a": {"y":1,"x":2},  "b":1.0}`)
	want := compile(t, base).Digest
	workflowDigest := mustDigest(t, base)

	same := checkout()
	same.Steps[0].Config = json.RawMessage("{\"b\":1.0,\n\"a\":{\"x\":2,\"y\":1}}")
	same.Description = "other words"
	same.Steps[2].Description = "words"
	if got := compile(t, same).Digest; got != want {
		t.Errorf("the graph's digest depends on white space, order of keys or descriptions: %s, %s", got, want)
	}
	if got := mustDigest(t, same); got != workflowDigest {
		t.Errorf("the workflow's digest depends on white space, order of keys or descriptions: %s, %s", got, workflowDigest)
	}

	changes := map[string]func(*dag.Workflow){
		"version": func(w *dag.Workflow) { w.Version = "1.0.1" },
		"number":  func(w *dag.Workflow) { w.Steps[0].Config = json.RawMessage(`{"a":{"y":1,"x":2},"b":1.00}`) },
		"timeout": func(w *dag.Workflow) { w.Timeout = 2 * time.Hour },
		"queue":   func(w *dag.Workflow) { w.Steps[3].Queue = "q" },
		"parents": func(w *dag.Workflow) { w.Steps[3].DependsOn = []string{"validate_cart"} },
		"handler": func(w *dag.Workflow) { w.Steps[3].Handler = "h" },
	}
	for name, change := range changes {
		w := checkout()
		w.Steps[0].Config = base.Steps[0].Config
		change(w)
		if compile(t, w).Digest == want || mustDigest(t, w) == workflowDigest {
			t.Errorf("a change of %s does not change the digests", name)
		}
	}

	profiles := checkout()
	profiles.Steps[0].Config = base.Steps[0].Config
	delete(profiles.Profiles, "express")
	profiles.InputSchema = nil
	if compile(t, profiles).Digest != want {
		t.Error("the graph's digest depends on profiles that are not applied, or on the schema")
	}
	if mustDigest(t, profiles) == workflowDigest {
		t.Error("the workflow's digest does not depend on profiles and schema")
	}
	profiles = checkout()
	profiles.Steps[0].Config = base.Steps[0].Config
	profiles.KeepFailed = dag.Forever
	if compile(t, profiles).Digest != want || mustDigest(t, profiles) == workflowDigest {
		t.Error("how long runs are kept belongs to the workflow's digest, and not to the graph's")
	}
	if compile(t, base, "express").Digest == want {
		t.Error("the graph's digest does not depend on applied profiles")
	}
}

// A digest names content in Redis for as long as a run lives: this test fails when a release would give other names.
func TestDigestIsPinned(t *testing.T) {
	t.Parallel()
	if got, want := compile(t, checkout(), "express", "premium").Digest, "279b80a94309a1c38d400acf04fda9a6"; got != want {
		t.Errorf("graph: got %s, want %s", got, want)
	}
	if got, want := mustDigest(t, checkout()), "c09234b734dc6f891c94bd912a3d83fc"; got != want {
		t.Errorf("workflow: got %s, want %s", got, want)
	}
}

func mustDigest(tb testing.TB, w *dag.Workflow) string {
	tb.Helper()
	d, err := w.Digest()
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func TestWorkflowJSON(t *testing.T) {
	t.Parallel()
	w := checkout()
	zero := 0.0
	w.Defaults = dag.Defaults{Queue: "q", Timeout: time.Minute, Retry: dag.RetryPolicy{
		MaxAttempts: 2, Backoff: dag.BackoffLinear, BaseDelay: 1500 * time.Millisecond, MaxDelay: time.Hour, Jitter: &zero,
	}}
	w.Keep, w.KeepFailed = 90*time.Minute, dag.Forever
	w.Steps[0].Config = json.RawMessage(`{"b":1.50,"a":[1,2]}`)
	w.Profiles["express"].Steps["create_order"] = dag.StepOverride{Queue: "x", Config: json.RawMessage(`{}`)}
	raw, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	var back dag.Workflow
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, &back); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
	if mustDigest(t, w) != mustDigest(t, &back) {
		t.Error("round trip changes the digest")
	}
	for _, part := range []string{`"base_delay":"1.5s"`, `"jitter":0`, `"depends_on":["validate_cart"]`, `"input_schema":{"type"`, `"retention":"1h30m0s","retention_failed":"forever"`} {
		if !strings.Contains(string(raw), part) {
			t.Errorf("JSON has no %s:\n%s", part, raw)
		}
	}
}

func TestWorkflowJSONRefusesARetentionThatIsNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"-1ns", "never", "7d", ""} {
		var w dag.Workflow
		err := json.Unmarshal([]byte(`{"retention":"`+text+`"}`), &w)
		if !errors.Is(err, dag.ErrInvalid) || !strings.Contains(err.Error(), "write it as 168h, 90m or forever") {
			t.Errorf("retention %q: %v", text, err)
		}
	}
}

func TestGraphJSON(t *testing.T) {
	t.Parallel()
	w := checkout()
	w.Steps[0].Config = json.RawMessage(`{"html":"<a&b>", "number": 1.50}`)
	g := compile(t, w, "express")
	for name, write := range map[string]func() ([]byte, error){
		"MarshalJSON":  g.MarshalJSON,
		"json.Marshal": func() ([]byte, error) { return json.Marshal(g) }, // escapes < and >
		"indented":     func() ([]byte, error) { return json.MarshalIndent(g, "", "  ") },
	} {
		raw, err := write()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var back dag.Graph
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(g, &back); diff != "" {
			t.Errorf("%s: round trip (-want +got):\n%s", name, diff)
		}
	}
	raw, err := g.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := dag.CanonicalJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(canonical), string(raw)); diff != "" {
		t.Errorf("a graph's JSON is not canonical:\n%s", diff)
	}
}

func TestJSONRefusals(t *testing.T) {
	t.Parallel()
	raw, err := compile(t, shape("a", "b: a")).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	with := func(name, value string) string {
		f := maps.Clone(fields)
		f[name] = json.RawMessage(value)
		out, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	cases := []struct {
		name string
		raw  string
		into json.Unmarshaler
		want string
	}{
		{"other content", with("version", `"1.0.1"`), &dag.Graph{}, "as it says"},
		{"unknown field", with("when", `1`), &dag.Graph{}, `unknown field "when"`},
		{"unknown join", strings.Replace(string(raw), "none_failed", "any_failed", 1), &dag.Graph{}, `step "a" has the unknown join rule "any_failed"; it is from a newer release`},
		{"bad config", `{"nodes":[{"name":"a","config":{"a":1,"a":2}}]}`, &dag.Graph{}, `config of step "a": invalid JSON: the key "a" is there twice`},
		{"more", string(raw) + " {}", &dag.Graph{}, "more follows after its end"},
		{"duration", `{"timeout":"soon"}`, &dag.Workflow{}, `invalid duration "soon": write it as 30s, 5m or 1h30m`},
		{"number as duration", `{"timeout":30}`, &dag.Workflow{}, "cannot unmarshal number"},
		{"unknown field in a workflow", `{"stepz":[]}`, &dag.Workflow{}, `unknown field "stepz"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := c.into.UnmarshalJSON([]byte(c.raw))
			if !errors.Is(err, dag.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
	w := shape("a")
	w.Steps[0].Config = json.RawMessage("{")
	if _, err := w.MarshalJSON(); err == nil {
		t.Error("a workflow with a broken config can be written")
	}
	if _, err := w.Digest(); err == nil {
		t.Error("a workflow with a broken config has a digest")
	}
}
