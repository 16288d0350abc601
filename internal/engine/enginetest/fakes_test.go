package enginetest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestFaulty(t *testing.T) {
	t.Parallel()
	w := dag.Workflow{Namespace: "test", Name: "faulty", Version: "1.0.0", Steps: []dag.Step{{Name: "a", Handler: "h"}}}
	g, err := dag.Compile(&w)
	if err != nil {
		t.Fatal(err)
	}
	memory := enginetest.NewMemory(enginetest.Epoch())
	fault := enginetest.FaultNone
	var asked []string
	store := &enginetest.Faulty{Store: memory, Hook: func(method string) enginetest.Fault {
		asked = append(asked, method)
		return fault
	}}
	run := func(n string) dag.NewRun {
		return dag.NewRun{ID: dag.NewRunID(1, "0000000000000000000000000"+n), Graph: g, Input: []byte(`{}`), Timeout: g.Timeout}
	}
	if _, err := store.CreateRun(t.Context(), run("1")); err != nil {
		t.Fatal(err)
	}
	fault = enginetest.FaultRefused
	if _, err := store.CreateRun(t.Context(), run("2")); !errors.Is(err, engine.ErrUnavailable) {
		t.Fatalf("refused: %v", err)
	}
	fault = enginetest.FaultLost
	if _, err := store.CreateRun(t.Context(), run("3")); !errors.Is(err, engine.ErrUnavailable) {
		t.Fatalf("lost: %v", err)
	}
	if err := store.HandedOver(t.Context(), nil); !errors.Is(err, engine.ErrUnavailable) {
		t.Fatalf("lost: %v", err)
	}
	if _, _, err := store.Workers(t.Context()); !errors.Is(err, engine.ErrUnavailable) {
		t.Fatalf("lost: %v", err)
	}
	if diff := cmp.Diff([]string{"CreateRun", "CreateRun", "CreateRun", "HandedOver", "Workers"}, asked); diff != "" {
		t.Fatal(diff)
	}
	state := memory.Dump()
	if len(state.Runs) != 2 || state.Runs[run("2").ID] != nil {
		t.Fatalf("a refused call must not reach the store, a lost one must: %v", state.Runs)
	}
}

func TestFakeQueue(t *testing.T) {
	t.Parallel()
	q := &enginetest.FakeQueue{}
	send := func(step, queue string) dag.Send {
		return dag.Send{Delivery: dag.Delivery{Run: "r", Step: step, Epoch: 1}, Queue: queue}
	}
	refused := errors.New("full")
	q.Refuse = func(s dag.Send) error {
		if s.Step == "no" {
			return refused
		}
		return nil
	}
	for _, s := range []dag.Send{send("a", "x"), send("b", "x"), send("a", "x"), send("c", "y")} {
		if err := q.Enqueue(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Enqueue(t.Context(), send("no", "x")); !errors.Is(err, refused) {
		t.Fatal(err)
	}
	if got, ok := q.Take(); !ok || got != send("a", "x") {
		t.Fatalf("take: %v %t", got, ok)
	}
	if err := q.Delete(t.Context(), "y", send("c", "y").Delivery); err != nil {
		t.Fatal(err)
	}
	infos, err := q.Queues(t.Context())
	if diff := cmp.Diff([]engine.QueueInfo{{Name: "x", Pending: 1, Active: 1}}, infos); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
	q.Done(send("a", "x").Delivery)
	q.Lose()
	if got := q.Delivered(); len(got) != 3 {
		t.Fatalf("delivered: %v", got)
	}
	if diff := cmp.Diff([]dag.Delivery{send("c", "y").Delivery}, q.Deleted()); diff != "" {
		t.Fatal(diff)
	}
}

func TestFakeQueueWaits(t *testing.T) {
	t.Parallel()
	q := &enginetest.FakeQueue{}
	got := make(chan dag.Send, 1)
	go func() {
		if s, err := q.Next(t.Context()); err == nil {
			got <- s
		}
	}()
	want := dag.Send{Delivery: dag.Delivery{Run: "r", Step: "a", Epoch: 1}}
	if err := q.Enqueue(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != want {
		t.Fatalf("next: %v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("next after the end: %v", err)
	}
}
