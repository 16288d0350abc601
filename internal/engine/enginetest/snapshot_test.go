package enginetest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// TestSnapshot rolls a store back twice: what was done after the snapshot is gone, and doing it again leads to the same state.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	w := dag.Workflow{Namespace: "test", Name: "snapshot", Version: "1.0.0", Steps: []dag.Step{
		{Name: "a", Handler: "h"}, {Name: "b", Handler: "h", DependsOn: []string{"a"}}, {Name: "c", Handler: "h"},
	}}
	g, err := dag.Compile(&w)
	if err != nil {
		t.Fatal(err)
	}
	now := enginetest.Epoch()
	m := enginetest.NewMemory(time.Time{})
	m.Follow(func() time.Time { return now })
	run := dag.NewRun{ID: dag.NewRunID(1, "00000000000000000000000001"), Graph: g, Key: "k", Input: []byte(`{}`), Timeout: time.Hour}
	if _, err := m.CreateRun(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	ref := dag.ClaimRef{Run: run.ID, Step: "a", Def: g.Digest, Nonce: "n"}
	begin := dag.BeginRequest{Delivery: dag.Delivery{Run: run.ID, Step: "a", Epoch: 1}, Def: g.Digest, Nonce: "n", TTL: time.Second}
	if _, err := m.Begin(t.Context(), begin); err != nil {
		t.Fatal(err)
	}
	before, snapshot := m.Dump(), m.Snapshot()
	later := func() enginetest.State {
		now = now.Add(time.Second)
		reissue := dag.ReissueRequest{Run: run.ID, Step: "a", Def: g.Digest, State: dag.StepRunning, Epoch: 1, Nonce: ref.Nonce, Crash: true}
		if got, err := m.Reissue(t.Context(), reissue); err != nil || got.Reply != dag.ReplyOK {
			t.Fatal(got, err)
		}
		if got, err := m.Cancel(t.Context(), dag.OperatorRequest{Run: run.ID, Nonce: "op"}); err != nil || got.Reply != dag.ReplyOK {
			t.Fatal(got, err)
		}
		return m.Dump()
	}
	after := later()
	for range 2 {
		m.Restore(snapshot)
		now = now.Add(-time.Second)
		if diff := cmp.Diff(before, m.Dump()); diff != "" {
			t.Fatalf("rolled back (-before +now):\n%s", diff)
		}
		if diff := cmp.Diff(after, later()); diff != "" {
			t.Fatalf("done again (-first time +now):\n%s", diff)
		}
	}
	if diff := cmp.Diff(enginetest.Epoch().Add(time.Second), m.Now()); diff != "" {
		t.Fatal(diff)
	}
}
