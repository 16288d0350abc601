package enginetest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// TestAuditFinds lets a broken store leave a claim behind; a right one is the control.
func TestAuditFinds(t *testing.T) {
	t.Parallel()
	w := dag.Workflow{Namespace: "test", Name: "audit", Version: "1.0.0", Steps: []dag.Step{{Name: "a", Handler: "h"}}}
	g, err := dag.Compile(&w)
	if err != nil {
		t.Fatal(err)
	}
	run := dag.NewRun{ID: dag.NewRunID(1, "00000000000000000000000001"), Graph: g, Input: []byte(`{}`), Timeout: time.Hour}
	found := dag.Mismatch{Run: run.ID, What: "claims: nothing has a reason for " + run.ID + ":a"}
	for name, tc := range map[string]struct {
		open enginetest.Open
		want []dag.Mismatch
	}{
		"broken": {enginetest.Break("expire leaves the claim"), []dag.Mismatch{found}},
		"right":  {enginetest.OpenMemory, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tc.open(t)
			if _, err := s.CreateRun(t.Context(), run); err != nil {
				t.Fatal(err)
			}
			begin := dag.BeginRequest{Delivery: dag.Delivery{Run: run.ID, Step: "a", Epoch: 1}, Def: g.Digest, Nonce: "n", TTL: time.Second}
			if _, err := s.Begin(t.Context(), begin); err != nil {
				t.Fatal(err)
			}
			if err := s.SetTime(t.Context(), enginetest.Epoch().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Expire(t.Context(), run.ID); err != nil {
				t.Fatal(err)
			}
			page, err := s.Audit(t.Context(), 1, "", 10)
			if diff := cmp.Diff(dag.AuditPage{Runs: 1, Mismatches: tc.want}, page); diff != "" || err != nil {
				t.Fatal(diff, err)
			}
		})
	}
}
