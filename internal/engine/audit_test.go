package engine_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/oklog/ulid/v2"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// audited is a store with disagreements, which it finds once a pass, in three pages of one partition.
type audited struct {
	engine.Store
	broken int

	mu    sync.Mutex
	pages []int // partitions, in the order of the looks
}

func (a *audited) Audit(_ context.Context, partition int, cursor string, limit int) (dag.AuditPage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pages = append(a.pages, partition)
	if partition != a.broken {
		return dag.AuditPage{}, nil
	}
	next := map[string]string{"": "1", "1": "2", "2": ""}[cursor]
	return dag.AuditPage{Runs: limit, Mismatches: []dag.Mismatch{{Run: "page " + cursor, What: "active is 2"}}, Next: next}, nil
}

func TestAuditGoesOverAllRunsEachHour(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	store := &audited{Store: r.store, broken: 5}
	e, err := engine.New(store, r.queue, anySchema{}, engine.Config{Now: r.store.Now, Hooks: r.seen.hooks()})
	if err != nil {
		t.Fatal(err)
	}
	r.sweep = e.Sweep()
	r.sweep(t.Context())
	if len(store.pages) != 1 {
		t.Errorf("%d pages in a round, want one", len(store.pages))
	}
	r.pass(100 * time.Second)
	want := []dag.Mismatch{{Run: "page ", What: "active is 2"}, {Run: "page 1", What: "active is 2"}, {Run: "page 2", What: "active is 2"}}
	if d := cmp.Diff(want, r.seen.mismatches); d != "" {
		t.Errorf("mismatches of a pass (-want +got):\n%s", d)
	}
	if len(store.pages) != dag.Partitions+2 {
		t.Errorf("%d pages, want one of each partition and two more of the broken one", len(store.pages))
	}
	r.store.Advance(58 * time.Minute)
	r.pass(10 * time.Second)
	if n := len(r.seen.mismatches); n != 3 {
		t.Errorf("%d mismatches within the hour, want those of one pass", n)
	}
	r.store.Advance(time.Minute)
	r.pass(10 * time.Second)
	if n := len(r.seen.mismatches); n != 6 {
		t.Errorf("%d mismatches after an hour, want those of a second pass too", n)
	}
}

// Runs as they are have no mismatch. Negative control is the store of the test above.
func TestAuditOfSoundRunsFindsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.finish(true)
	r.finish(false)
	r.start()
	r.complete(r.take("w1"))
	r.pass(5 * time.Minute)
	if len(r.seen.mismatches) > 0 {
		t.Errorf("mismatches %v", r.seen.mismatches)
	}
}

// The archive is a view. What stands in it for no failed step confuses whoever looks, and goes.
func TestAuditRemovesArchivedTasksOfNoFailedStep(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fail := func() dag.Delivery {
		run := r.start().ID
		c := r.take("w1")
		if _, err := r.Fail(t.Context(), c, dag.StepError{Code: "NO"}, 0, 0); err != nil {
			t.Fatal(err)
		}
		return dag.Delivery{Run: run, Step: "a", Epoch: 1}
	}
	archive := func(d dag.Delivery) {
		r.queue.Put(dag.Send{Delivery: d, Queue: "shop"}, engine.TaskInfo{State: engine.TaskArchived})
	}
	for range 2*enginetest.ArchivedPage + 3 {
		archive(dag.Delivery{Run: dag.NewRunID(3, ulid.Make().String()), Step: "a", Epoch: 1}) // of a run that is gone
	}
	failed, retried := fail(), fail()
	if _, err := r.Retry(t.Context(), engine.OperatorRequest{Run: retried.Run}); err != nil {
		t.Fatal(err)
	}
	r.complete(r.take("w1"))
	running := dag.Delivery{Run: retried.Run, Step: r.take("w1").Step, Epoch: 1}
	waiting := dag.Delivery{Run: r.start().ID, Step: "a", Epoch: 1}   // a person archived it: for the doubts
	rolledBack := dag.Delivery{Run: waiting.Run, Step: "c", Epoch: 1} // pending again
	for _, d := range []dag.Delivery{retried, rolledBack, failed, running, waiting} {
		archive(d)
	}
	foreign := dag.Delivery{Run: dag.NewRunID(3, ulid.Make().String()), Step: "a", Epoch: 1} // of another installation on the same server
	r.queue.Put(dag.Send{Delivery: foreign, Queue: "staging-shop"}, engine.TaskInfo{State: engine.TaskArchived})
	for range 70 {
		r.sweep(t.Context())
	}
	if left, _, err := r.queue.Archived(t.Context(), "staging-shop", 1); err != nil || len(left) != 1 {
		t.Errorf("archive of another installation: %v, %v", left, err)
	}
	left, _, err := r.queue.Archived(t.Context(), "shop", 1)
	byRun := cmpopts.SortSlices(func(a, b dag.Delivery) bool { return a.Run < b.Run }) // the archive is in no order that a test may count on
	if d := cmp.Diff([]dag.Delivery{failed, running, waiting}, left, byRun); err != nil || d != "" {
		t.Errorf("archive, %v (-want +got):\n%s", err, d)
	}
}
