package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errRefused = errors.New("refused")

// rig is an engine on the in-memory store and a queue that the test empties by hand; one clock drives all.
type rig struct {
	*engine.Engine
	t      *testing.T
	store  *enginetest.Memory
	faults *enginetest.Faulty
	queue  *enginetest.FakeQueue
	seen   seen
	refuse atomic.Bool // the queue refuses what it is given
	sweep  func(context.Context)
	random float64
	nonces int
}

type anySchema struct{}

func (anySchema) Check(schema, _ json.RawMessage) error {
	if schema != nil {
		return &dag.InputError{Violations: []dag.Violation{{Pointer: "/a", Message: "is missing"}}}
	}
	return nil
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, store: enginetest.NewMemory(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), queue: &enginetest.FakeQueue{}}
	r.faults = &enginetest.Faulty{Store: r.store}
	r.queue.Refuse = func(dag.Send) error {
		if r.refuse.Load() {
			return errRefused
		}
		return nil
	}
	r.watch(answer)
	r.use(engine.Config{})
	r.register(linear("1.0.0"))
	return r
}

// use makes the rig's engine anew.
func (r *rig) use(cfg engine.Config) {
	r.t.Helper()
	cfg.Now, cfg.Hooks = r.store.Now, r.seen.hooks()
	if cfg.Random == nil {
		cfg.Random = func() float64 { return r.random }
	}
	var err error
	if r.Engine, err = engine.New(r.faults, r.queue, anySchema{}, cfg); err != nil {
		r.t.Fatal(err)
	}
	r.sweep = r.Sweep()
}

// linear is a workflow of three steps in a row.
func linear(version string) *dag.Workflow {
	return &dag.Workflow{
		Namespace: "shop", Name: "order", Version: version,
		Steps: []dag.Step{
			{Name: "a", Handler: "shop.a"},
			{Name: "b", Handler: "shop.b", DependsOn: []string{"a"}},
			{Name: "c", Handler: "shop.c", DependsOn: []string{"b"}},
		},
		Profiles: map[string]dag.Profile{"fast": {Defaults: dag.Defaults{Queue: "shop-fast"}}},
	}
}

func (r *rig) register(w *dag.Workflow) {
	r.t.Helper()
	if err := r.Register(r.t.Context(), w, ""); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) start() dag.RunView {
	r.t.Helper()
	started, err := r.Start(r.t.Context(), engine.StartRequest{Workflow: "shop/order"})
	if err != nil {
		r.t.Fatal(err)
	}
	return started.Run
}

// take takes the next task, which has to be there, and begins its step as the worker.
func (r *rig) take(worker string) *dag.Claim {
	r.t.Helper()
	r.Quiesce()
	send, ok := r.queue.Take()
	if !ok {
		r.t.Fatal("no task in the queue")
	}
	r.nonces++
	begun, err := r.Begin(r.t.Context(), dag.BeginRequest{Delivery: send.Delivery, Def: send.Def, Nonce: worker + string(rune('A'+r.nonces)), Worker: worker})
	if err != nil || begun.Verdict != dag.VerdictRun {
		r.t.Fatalf("begin %s: %v, %v", send.TaskID(), begun.Verdict, err)
	}
	return &begun.Claim
}

func (r *rig) complete(c *dag.Claim) dag.Settled {
	r.t.Helper()
	settled, err := r.Complete(r.t.Context(), c, json.RawMessage(`{}`), time.Millisecond)
	if err != nil {
		r.t.Fatal(err)
	}
	return settled
}

func (r *rig) run(id string) dag.RunView {
	r.t.Helper()
	view, err := r.store.Run(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return view
}

func (r *rig) step(id, name string) dag.StepView {
	r.t.Helper()
	for _, s := range r.run(id).Steps {
		if s.Name == name {
			return s
		}
	}
	r.t.Fatalf("run %s has no step %s", id, name)
	return dag.StepView{}
}

// pass lets time go by, a second and a sweep at a time.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	for range int(d / time.Second) {
		r.store.Advance(time.Second)
		r.sweep(r.t.Context())
	}
}

func (r *rig) empty() {
	r.t.Helper()
	r.Quiesce()
	if send, ok := r.queue.Take(); ok {
		r.t.Fatalf("unexpected task %s", send.TaskID())
	}
}
