package dag_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stepwell/stepwell/pkg/dag"
)

func FuzzCanonicalJSON(f *testing.F) {
	for _, s := range []string{
		`{"b":1.0,"a":[true,null,"\u0041\ud800"]}`, `{"a":1,"a":2}`, `[[[[]]]]`, `1e5`, `"\u2028<>"`, `{"":{"":0}}`, "\"\xff\"", `{`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		once, err := dag.CanonicalJSON(raw)
		if err != nil {
			if !errors.Is(err, dag.ErrInvalid) {
				t.Errorf("error does not wrap ErrInvalid: %v", err)
			}
			return
		}
		if err := dag.CheckJSON(raw, len(raw)); err != nil {
			t.Errorf("CheckJSON refuses what has a canonical form: %v", err)
		}
		twice, err := dag.CanonicalJSON(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("not idempotent: %s, then %s, %v", once, twice, err)
		}
		if !json.Valid(once) {
			t.Errorf("no JSON: %s", once)
		}
	})
}

func FuzzRunPartition(f *testing.F) {
	for _, s := range []string{"run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA", "run_00_", "run_ff_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		p, err := dag.RunPartition(id)
		switch {
		case err != nil && !errors.Is(err, dag.ErrInvalid):
			t.Errorf("error does not wrap ErrInvalid: %v", err)
		case err == nil && (p < 0 || p >= dag.Partitions || dag.NewRunID(p, id[len("run_00_"):]) != id):
			t.Errorf("%q has partition %d", id, p)
		}
	})
}

func FuzzParseTaskID(f *testing.F) {
	for _, s := range []string{"run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA:charge:e1", "a:b:e01", "::e1", "a:b:e1:e2", "a:eb:e1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if d, ok := dag.ParseTaskID(id); ok && (d.TaskID() != id || d.Epoch < 1 || d.Run == "" || d.Step == "") {
			t.Errorf("%q is %+v", id, d)
		}
	})
}

func FuzzCompile(f *testing.F) {
	for _, w := range []*dag.Workflow{checkout(), shape("a: b", "b: a"), shape("a", "b: a", "c: b a"), shape("a: x", "a"), {}} {
		raw, err := json.Marshal(w)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"name":"n","namespace":"n","version":"1.0.0-a","defaults":{"retry":{"base_delay":"1h","jitter":2}},` +
		`"steps":[{"name":"a","handler":"h","config":{"a":null}}],"profiles":{"p":{"steps":{"a":{"retry":{"max_delay":"1s"}}}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var w dag.Workflow
		if err := w.UnmarshalJSON(raw); err != nil {
			if !errors.Is(err, dag.ErrInvalid) {
				t.Errorf("error does not wrap ErrInvalid: %v", err)
			}
			return
		}
		invalid := w.Validate()
		g, err := dag.Compile(&w)
		if (invalid == nil) != (err == nil) {
			t.Fatalf("validate says %v, compile %v", invalid, err)
		}
		if err != nil {
			if !errors.Is(err, dag.ErrInvalid) {
				t.Errorf("error does not wrap ErrInvalid: %v", err)
			}
			return
		}
		compiled(t, &w, g)
	})
}

// compiled checks what holds for every valid workflow.
func compiled(t *testing.T, w *dag.Workflow, g *dag.Graph) {
	t.Helper()
	out, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	var back dag.Graph
	if err := json.Unmarshal(out, &back); err != nil || back.Digest != g.Digest {
		t.Errorf("round trip from digest %s to %s, %v", g.Digest, back.Digest, err)
	}
	if len(g.Nodes) != len(w.Steps) {
		t.Errorf("%d steps became %d nodes", len(w.Steps), len(g.Nodes))
	}
	if out, err = json.Marshal(w); err != nil {
		t.Fatal(err)
	}
	var again dag.Workflow
	if err := json.Unmarshal(out, &again); err != nil || mustDigest(t, &again) != mustDigest(t, w) {
		t.Errorf("the workflow's round trip changes its digest: %v", err)
	}
	for name := range w.Profiles {
		if _, err := dag.Compile(w, name); err != nil {
			t.Errorf("a valid workflow does not compile with profile %s alone: %v", name, err)
		}
	}
	_ = dag.SVG(g, nil)
	_ = dag.Mermaid(g, nil)
	_ = dag.DOT(g, nil)
}
