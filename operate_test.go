package stepwell_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stepwell/stepwell"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestVerbsChangeARun(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	ctx, opts := t.Context(), stepwell.VerbOptions{Reason: "as asked", Actor: "ada"}
	register(t, c, &dag.Workflow{Namespace: "shop", Name: "verbs", Version: "1.0.0", Steps: []dag.Step{
		{Name: "a", Handler: "shop.unserved"}, {Name: "b", Handler: "shop.unserved", DependsOn: []string{"a"}},
	}})
	start := func() string {
		run, err := c.Start(ctx, "shop/verbs", nil, stepwell.StartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return run.ID
	}
	run, other := start(), start()
	for _, verb := range []struct {
		name string
		do   func() (dag.RunView, error)
		want dag.RunState
		err  error
	}{
		{"resume what is not paused", func() (dag.RunView, error) { return c.Resume(ctx, run, opts) }, "", stepwell.ErrConflict},
		{"pause", func() (dag.RunView, error) { return c.Pause(ctx, run, opts) }, dag.RunPaused, nil},
		{"pause again", func() (dag.RunView, error) { return c.Pause(ctx, run, opts) }, "", stepwell.ErrConflict},
		{"resume", func() (dag.RunView, error) { return c.Resume(ctx, run, opts) }, dag.RunRunning, nil},
		{"skip what waits for its parents", func() (dag.RunView, error) { return c.Skip(ctx, run, "b", opts) }, "", stepwell.ErrConflict},
		{"skip what is not there", func() (dag.RunView, error) { return c.Skip(ctx, run, "c", opts) }, "", stepwell.ErrNotFound},
		{"skip", func() (dag.RunView, error) { return c.Skip(ctx, run, "a", opts) }, dag.RunRunning, nil},
		{"resolve with what is no JSON", func() (dag.RunView, error) { return c.Resolve(ctx, run, "b", make(chan int), opts) }, "", stepwell.ErrInvalid},
		{"resolve with broken JSON", func() (dag.RunView, error) { return c.Resolve(ctx, run, "b", json.RawMessage("{"), opts) }, "", stepwell.ErrInvalid},
		{"resolve with too much", func() (dag.RunView, error) {
			return c.Resolve(ctx, run, "b", strings.Repeat("x", dag.MaxOutputBytes), opts)
		}, "", stepwell.ErrInvalid},
		{"resolve", func() (dag.RunView, error) { return c.Resolve(ctx, run, "b", map[string]int{"n": 1}, opts) }, dag.RunSucceeded, nil},
		{"cancel what has ended", func() (dag.RunView, error) { return c.Cancel(ctx, run, opts) }, "", stepwell.ErrConflict},
		{"cancel", func() (dag.RunView, error) { return c.Cancel(ctx, other, opts) }, dag.RunCancelled, nil},
	} {
		view, err := verb.do()
		if view.State != verb.want || !errors.Is(err, verb.err) {
			t.Errorf("%s: the run is %q, %v; want %q, %v", verb.name, view.State, err, verb.want, verb.err)
		}
	}
	view, err := c.Get(ctx, run)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := view.Steps[0], view.Steps[1]; a.State != dag.StepSkipped || b.State != dag.StepSucceeded || string(b.Output) != `{"n":1}` {
		t.Errorf("a is %s; b is %s with output %s", a.State, b.State, b.Output)
	}
}
