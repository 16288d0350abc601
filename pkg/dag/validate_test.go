package dag_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/pkg/dag"
)

type invalid struct {
	name string
	make func(*dag.Workflow) // changes the workflow of checkout
	want string              // all errors, one a line
}

func checkInvalid(t *testing.T, cases []invalid) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := checkout()
			c.make(w)
			err := w.Validate()
			if !errors.Is(err, dag.ErrInvalid) {
				t.Fatalf("got %v, want an error that wraps ErrInvalid", err)
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if _, compiled := dag.Compile(w); compiled == nil || compiled.Error() != err.Error() {
				t.Errorf("compile says %v, validate %v", compiled, err)
			}
		})
	}
}

func TestValidateAcceptsCheckout(t *testing.T) {
	t.Parallel()
	if err := checkout().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestValidateHead(t *testing.T) {
	t.Parallel()
	checkInvalid(t, []invalid{
		{"namespace empty", func(w *dag.Workflow) { w.Namespace = "" }, `namespace: it is required`},
		{
			"namespace upper case", func(w *dag.Workflow) { w.Namespace = "Ecommerce" },
			`namespace: "Ecommerce" is no name: use lower-case letters, digits, _ and -, and begin with a letter`,
		},
		{
			"name too long", func(w *dag.Workflow) { w.Name = strings.Repeat("a", 64) },
			`name: "` + strings.Repeat("a", 64) + `" is no name: it has 64 bytes, more than the limit of 63`,
		},
		{"version empty", func(w *dag.Workflow) { w.Version = "" }, `version: it is required, for example 1.0.0`},
		{
			"version prefix", func(w *dag.Workflow) { w.Version = "v1.0.0" },
			`version: "v1.0.0" is not a semantic version; write three numbers, for example 1.0.0 or 1.1.0-rc.1`,
		},
		{
			"version long", func(w *dag.Workflow) { w.Version = "1.0.0-" + strings.Repeat("a", 60) },
			`version: it has 66 bytes, more than the limit of 64`,
		},
		{"description", func(w *dag.Workflow) { w.Description = "\xff" }, `description: it is not UTF-8`},
		{
			"description long", func(w *dag.Workflow) { w.Description = strings.Repeat("x", dag.MaxSourceBytes+1) },
			`description: it has 262145 bytes, more than the limit of 262144`,
		},
		{"retention short", func(w *dag.Workflow) { w.Keep = time.Second }, `retention: 1s is not between 1m0s and 87840h0m0s; give a time in between, or forever`},
		{"retention negative", func(w *dag.Workflow) { w.KeepFailed = -2 }, `retention_failed: -2ns is not between 1m0s and 87840h0m0s; give a time in between, or forever`},
		{"retention long", func(w *dag.Workflow) { w.KeepFailed = dag.MaxKeep + 1 }, `retention_failed: 87840h0m0.000000001s is not between 1m0s and 87840h0m0s; give a time in between, or forever`},
		{"timeout negative", func(w *dag.Workflow) { w.Timeout = -1 }, `timeout: -1ns is not between 1s and 8784h0m0s`},
		{
			"timeout long", func(w *dag.Workflow) { w.Timeout = 9000 * time.Hour },
			`timeout: 9000h0m0s is not between 1s and 8784h0m0s`,
		},
		{
			"schema is a list", func(w *dag.Workflow) { w.InputSchema = json.RawMessage(`[1]`) },
			`input_schema: it must be a JSON Schema: an object, true or false`,
		},
		{
			"schema does not parse", func(w *dag.Workflow) { w.InputSchema = json.RawMessage(`{"a":}`) },
			`input_schema: invalid character '}' looking for beginning of value (at byte 6)`,
		},
		{
			"schema with a key twice", func(w *dag.Workflow) { w.InputSchema = json.RawMessage(`{"p":{"a":1,"a":2}}`) },
			`input_schema: the key "a" is there twice in "/p"; remove one`,
		},
		{
			"schema too deep",
			func(w *dag.Workflow) {
				w.InputSchema = json.RawMessage(strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65))
			},
			`input_schema: it is nested deeper than the limit of 64`,
		},
	})
}

func TestValidateSteps(t *testing.T) {
	t.Parallel()
	checkInvalid(t, []invalid{
		{"none", func(w *dag.Workflow) { w.Steps, w.Profiles = nil, nil }, `steps: a workflow needs at least one step`},
		{
			"name", func(w *dag.Workflow) { w.Steps[4].Name = "send confirmation"; w.Profiles = nil },
			`steps[4].name: "send confirmation" is no name: use lower-case letters, digits, _ and -, and begin with a letter`,
		},
		{"no name", func(w *dag.Workflow) { w.Steps[4].Name = ""; w.Profiles = nil }, `steps[4].name: it is required`},
		{
			"name twice", func(w *dag.Workflow) { w.Steps[4].Name = "create_order"; w.Profiles = nil },
			"steps[4].name: \"create_order\" is already the name of steps[3]; give each step a name of its own\n" +
				"steps[4].depends_on[0]: step \"create_order\" depends on itself; remove this dependency",
		},
		{"no handler", func(w *dag.Workflow) { w.Steps[0].Handler = "" }, `steps.validate_cart.handler: it is required`},
		{
			"handler", func(w *dag.Workflow) { w.Steps[0].Handler = "Checkout:x" },
			`steps.validate_cart.handler: "Checkout:x" is no handler name: use lower-case letters, digits, _ . and -`,
		},
		{
			"handler long", func(w *dag.Workflow) { w.Steps[0].Handler = strings.Repeat("h", 129) },
			`steps.validate_cart.handler: "` + strings.Repeat("h", 80) + `"… is no handler name: it has 129 bytes, more than the limit of 128`,
		},
		{
			"unknown parent", func(w *dag.Workflow) { w.Steps[3].DependsOn = []string{"update_inventroy", "banana"} },
			"steps.create_order.depends_on[0]: there is no step \"update_inventroy\"; did you mean \"update_inventory\"?\n" +
				"steps.create_order.depends_on[1]: there is no step \"banana\"",
		},
		{
			"itself", func(w *dag.Workflow) { w.Steps[0].DependsOn = []string{"validate_cart"} },
			`steps.validate_cart.depends_on[0]: step "validate_cart" depends on itself; remove this dependency`,
		},
		{
			"dependency twice", func(w *dag.Workflow) { w.Steps[1].DependsOn = []string{"validate_cart", "validate_cart"} },
			`steps.process_payment.depends_on[1]: "validate_cart" is listed twice; remove one`,
		},
		{"queue", func(w *dag.Workflow) { w.Steps[0].Queue = "Fast" }, `steps.validate_cart.queue: "Fast" is no name: use lower-case letters, digits, _ and -, and begin with a letter`},
		{"timeout", func(w *dag.Workflow) { w.Steps[0].Timeout = 13 * time.Hour }, `steps.validate_cart.timeout: 13h0m0s is not between 1s and 12h0m0s`},
		{"short timeout", func(w *dag.Workflow) { w.Steps[0].Timeout = time.Millisecond }, `steps.validate_cart.timeout: 1ms is not between 1s and 12h0m0s`},
		{"config list", func(w *dag.Workflow) { w.Steps[0].Config = json.RawMessage(` [] `) }, `steps.validate_cart.config: it must be a JSON object`},
		{"config null", func(w *dag.Workflow) { w.Steps[0].Config = json.RawMessage(`null`) }, `steps.validate_cart.config: it must be a JSON object`},
		{"config blank", func(w *dag.Workflow) { w.Steps[0].Config = json.RawMessage(` `) }, `steps.validate_cart.config: it is empty`},
		{
			"config key twice", func(w *dag.Workflow) { w.Steps[0].Config = json.RawMessage(`{"a":1,"\u0061":2}`) },
			`steps.validate_cart.config: the key "a" is there twice; remove one`,
		},
		{
			"description", func(w *dag.Workflow) { w.Steps[0].Description = "\xff" },
			`steps.validate_cart.description: it is not UTF-8`,
		},
	})
}

func TestValidateRetry(t *testing.T) {
	t.Parallel()
	retry := func(r dag.RetryPolicy) func(*dag.Workflow) {
		return func(w *dag.Workflow) { w.Steps[0].Retry = r }
	}
	nan := math.NaN()
	much := 1.5
	checkInvalid(t, []invalid{
		{
			"attempts", retry(dag.RetryPolicy{MaxAttempts: 1001}),
			`steps.validate_cart.retry.max_attempts: 1001 is not between 1 and 1000; it counts all attempts, the first included`,
		},
		{
			"attempts negative", retry(dag.RetryPolicy{MaxAttempts: -1}),
			`steps.validate_cart.retry.max_attempts: -1 is not between 1 and 1000; it counts all attempts, the first included`,
		},
		{
			"backoff", retry(dag.RetryPolicy{Backoff: "fibonacci"}),
			`steps.validate_cart.retry.backoff: there is no back-off "fibonacci"; use constant, linear or exponential`,
		},
		{
			"base negative", retry(dag.RetryPolicy{BaseDelay: -time.Second}),
			`steps.validate_cart.retry.base_delay: -1s is not a positive duration of at most 8784h0m0s`,
		},
		{
			"max over limit", retry(dag.RetryPolicy{MaxDelay: 9000 * time.Hour}),
			`steps.validate_cart.retry.max_delay: 9000h0m0s is not a positive duration of at most 8784h0m0s`,
		},
		{"jitter", retry(dag.RetryPolicy{Jitter: &much}), `steps.validate_cart.retry.jitter: 1.5 is not between 0 and 1`},
		{"jitter NaN", retry(dag.RetryPolicy{Jitter: &nan}), `steps.validate_cart.retry.jitter: NaN is not between 0 and 1`},
		{
			"base over default max", retry(dag.RetryPolicy{BaseDelay: time.Hour}),
			`steps.validate_cart.retry.base_delay: 1h0m0s is more than the default max_delay of 5m0s; set max_delay, too`,
		},
		{
			"max under default base", func(w *dag.Workflow) { w.Defaults.Retry.MaxDelay = time.Millisecond },
			`defaults.retry.max_delay: 1ms is less than the default base_delay of 1s; set base_delay, too`,
		},
		{
			"base over max of defaults", func(w *dag.Workflow) {
				w.Defaults.Retry.MaxDelay = time.Minute
				w.Steps[2].Retry.BaseDelay = time.Hour
			},
			`steps.update_inventory.retry.base_delay: 1h0m0s is more than the max_delay of 1m0s (defaults.retry); raise that or lower this`,
		},
	})
}

func TestValidateProfilesAndDefaults(t *testing.T) {
	t.Parallel()
	profile := func(p dag.Profile) func(*dag.Workflow) {
		return func(w *dag.Workflow) { w.Profiles = map[string]dag.Profile{"express": p} }
	}
	checkInvalid(t, []invalid{
		{"defaults", func(w *dag.Workflow) { w.Defaults.Timeout = -1 }, `defaults.timeout: -1ns is not between 1s and 12h0m0s`},
		{
			"name", func(w *dag.Workflow) { w.Profiles = map[string]dag.Profile{"Ex": {Defaults: dag.Defaults{Timeout: 1}}} },
			"profiles[\"Ex\"]: \"Ex\" is no name: use lower-case letters, digits, _ and -, and begin with a letter\n" +
				`profiles["Ex"].defaults.timeout: 1ns is not between 1s and 12h0m0s`,
		},
		{
			"unknown step", profile(dag.Profile{Steps: map[string]dag.StepOverride{"procces_payment": {Timeout: time.Second}}}),
			`profiles.express.steps.procces_payment: there is no step "procces_payment"; did you mean "process_payment"?`,
		},
		{
			"override", profile(dag.Profile{Steps: map[string]dag.StepOverride{"create_order": {
				Queue: "Q", Timeout: 1, Config: json.RawMessage(`1`), Retry: dag.RetryPolicy{MaxAttempts: -1},
			}}}),
			"profiles.express.steps.create_order.queue: \"Q\" is no name: use lower-case letters, digits, _ and -, and begin with a letter\n" +
				"profiles.express.steps.create_order.timeout: 1ns is not between 1s and 12h0m0s\n" +
				"profiles.express.steps.create_order.retry.max_attempts: -1 is not between 1 and 1000; it counts all attempts, the first included\n" +
				"profiles.express.steps.create_order.config: it must be a JSON object",
		},
		{
			"delays", profile(dag.Profile{Defaults: dag.Defaults{Retry: dag.RetryPolicy{BaseDelay: time.Hour}}}),
			`profiles.express.defaults.retry.base_delay: 1h0m0s is more than the default max_delay of 5m0s; set max_delay, too`,
		},
		{"too many", func(w *dag.Workflow) {
			for i := range dag.MaxProfiles {
				w.Profiles[fmt.Sprintf("p%d", i)] = dag.Profile{}
			}
		}, `profiles: there are 66, more than the limit of 64`},
	})
}

func TestValidateLimits(t *testing.T) {
	t.Parallel()
	w := huge()
	if err := w.Validate(); err != nil {
		t.Fatalf("at the limits: %v", err)
	}
	w.Steps[1].DependsOn = []string{"step_0"}
	if err, want := w.Validate(), "steps: there are 4097 dependencies, more than the limit of 4096"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	w.Steps = append(w.Steps, dag.Step{Name: "one_more", Handler: "h"})
	want := "steps: there are 2049, more than the limit of 2048\nsteps: there are 4097 dependencies, more than the limit of 4096"
	if err := w.Validate(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestValidateCycles(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		lines []string
		want  [][]string
	}{
		{"two", []string{"a: b", "b: a"}, [][]string{{"a", "b", "a"}}},
		{"in the order of execution", []string{"a: c", "b: a", "c: b", "d: a"}, [][]string{{"a", "b", "c", "a"}}},
		{"shortest of a group", []string{"a: e c", "b: a", "c: b", "d: a", "e: d c"}, [][]string{{"a", "b", "c", "a"}}},
		{
			"each group once",
			[]string{"x", "a: b x", "b: a", "c: d a", "d: c"},
			[][]string{{"a", "b", "a"}, {"c", "d", "c"}},
		},
		{"not through itself", []string{"a: b a", "b: a"}, [][]string{{"a", "b", "a"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := cyclesIn(shape(c.lines...).Validate())
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("cycles (-want +got):\n%s", diff)
			}
		})
	}
}

func cyclesIn(err error) [][]string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var out [][]string
	for _, e := range joined.Unwrap() {
		if cycle, ok := errors.AsType[*dag.CycleError](e); ok {
			out = append(out, cycle.Path)
		}
	}
	return out
}

func TestValidateReportsAllAtOnce(t *testing.T) {
	t.Parallel()
	w := shape("a: b", "b: a zz", "c:")
	w.Version = "1"
	w.Steps[2].Handler = ""
	want := `version: "1" is not a semantic version; write three numbers, for example 1.0.0 or 1.1.0-rc.1
steps.b.depends_on[1]: there is no step "zz"
steps.c.handler: it is required
steps depend on each other in a circle: a → b → a; remove one of these dependencies`
	err := w.Validate()
	if err == nil {
		t.Fatal("got no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if field, ok := errors.AsType[*dag.FieldError](err); !ok || field.Path != "version" {
		t.Errorf("first field error is %v", field)
	}
}
