package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

func startScenarios() []scenario {
	return []scenario{
		{"create/roots are queued and sent", createQueuesRoots},
		{"create/the key names the run", createByKey},
		{"create/another body under the key", createMismatch},
		{"create/without a key each is a run of its own", createWithoutKey},
		{"create/start at", createLater},
		{"create/start at in the past is now", createInThePast},
		{"create/JSON is kept to the byte", opaqueJSON},
	}
}

func createQueuesRoots(s *script) {
	g := compile(s.t, "roots", "a", "b", "c<a,b")
	created := s.start(g, func(r *dag.NewRun) { r.Labels, r.CorrelationID = map[string]string{"shop": "<eu>"}, "corr" })
	want := []dag.Send{
		{Delivery: dag.Delivery{Run: s.run, Step: "a", Epoch: 1}, Def: g.Digest, Handler: "test.a", Queue: "q-a", TraceParent: "00-trace"},
		{Delivery: dag.Delivery{Run: s.run, Step: "b", Epoch: 1}, Def: g.Digest, Handler: "test.b", Queue: "q-b", TraceParent: "00-trace"},
	}
	s.want("sends", created.Sends, want)
	s.want("run", s.state.Runs[s.run], Fields{
		"workflow": "test/roots", "version": "1.0.0", "def": g.Digest, "state": "running", "total": "3", "active": "2", "bytes": "16",
		"timeout": "3600000", "created_at": s.at(0), "deadline": s.at(time.Hour),
		"labels": text(map[string]string{"shop": "<eu>"}), "correlation_id": "corr", "trace_parent": "00-trace",
	})
	queued := Fields{"state": "queued", "epoch": "1", "queued_at": s.at(0)}
	s.want("steps", s.state.Steps[s.run], map[string]Fields{"a": queued, "b": queued})
	s.want("agenda", s.state.Agenda, map[string]int64{
		"end:" + s.run: s.ms(time.Hour), s.sendEntry("a"): s.ms(time.Second), s.sendEntry("b"): s.ms(time.Second),
	})
	one := map[string]int64{s.run: s.ms(0)}
	s.want("index", s.state.Index, map[string]map[string]int64{"all": one, "state:running": one, "workflow:test/roots": one, "label:shop=<eu>": one})
	s.want("input", s.state.Inputs, map[string]string{s.run: `{"cart":[1.0,2]}`})
	s.want("log", s.events(), []string{"created"})
}

func createByKey(s *script) {
	g := compile(s.t, "keys", "a")
	s.start(g, func(r *dag.NewRun) { r.Key, r.Fingerprint = "order:7", "f1" })
	s.want("idem", s.state.Idem, map[string]Fields{"test/keys:order:7": {"run": s.run, "fingerprint": "f1"}})
	s.wantRun("key", "order:7")
	s.advance(time.Hour)
	other := s.newRun(g, func(r *dag.NewRun) { r.Key, r.Fingerprint, r.Input = "order:7", "f1", json.RawMessage(`{}`) })
	got, err := s.create(other)
	s.want("error", err, nil)
	s.want("the same key", got, dag.Created{ID: s.run, Replayed: true})
	s.want("runs", len(s.state.Runs), 1)
	ofKey := func(key string) ([]string, error) {
		return read(s.rig, "run of key", func(ctx context.Context, store Subject) ([]string, error) {
			partition, err := dag.RunPartition(s.run)
			if err != nil {
				return nil, err
			}
			run, fingerprint, err := store.RunOfKey(ctx, partition, "test/keys", key)
			return []string{run, fingerprint}, err
		})
	}
	found, err := ofKey("order:7")
	s.want("error", err, nil)
	s.want("the run of the key", found, []string{s.run, "f1"})
	if _, err := ofKey("order:8"); !errors.Is(err, engine.ErrNotFound) {
		s.t.Fatalf("a key of no run: %v", err)
	}
	// The key belongs to the workflow, not to the installation.
	s.start(compile(s.t, "keys2", "a"), func(r *dag.NewRun) { r.Key, r.Fingerprint = "order:7", "f2" })
	s.want("runs", len(s.state.Runs), 2)
}

func createMismatch(s *script) {
	g := compile(s.t, "keys", "a")
	s.start(g, func(r *dag.NewRun) { r.Key, r.Fingerprint = "k", "f1" })
	before := s.state
	_, err := s.create(s.newRun(g, func(r *dag.NewRun) { r.Key, r.Fingerprint = "k", "f2" }))
	if !errors.Is(err, engine.ErrMismatch) || !errors.Is(err, engine.ErrConflict) {
		s.t.Fatalf("another body: %v", err)
	}
	s.want("state", s.state, before)
}

func createWithoutKey(s *script) {
	g := compile(s.t, "keyless", "a")
	s.start(g, nil)
	s.start(g, nil)
	s.want("runs", len(s.state.Runs), 2)
	s.want("idem", len(s.state.Idem), 0)
}

func createLater(s *script) {
	g := compile(s.t, "later", "a", "b<a")
	start := s.now.Add(time.Minute)
	created := s.start(g, func(r *dag.NewRun) { r.StartAt = start })
	s.want("sends", len(created.Sends), 0)
	s.wantRun("state", "scheduled", "start_at", s.at(time.Minute), "deadline", s.at(time.Minute+time.Hour), "active", "1")
	s.wantStep("a", "state", "queued", "epoch", "1", "due", s.at(time.Minute), "queued_at", s.at(0))
	s.want("agenda", s.state.Agenda[s.sendEntry("a")], start.UnixMilli())
	s.want("nothing is due", len(s.due(5, 10).Sends), 0)
	got := s.begin(s.request("a", "n"))
	s.want("too early", got, dag.Begun{Verdict: dag.VerdictBusy, Wait: time.Minute})
	s.advance(time.Minute - 1001*time.Millisecond)
	s.want("still too early", s.begin(s.request("a", "n")).Wait, 1001*time.Millisecond)
	s.advance(time.Millisecond)
	s.want("a second early is due", s.begin(s.request("a", "n")).Verdict, dag.VerdictRun)
	s.wantRun("state", "running", "started_at", s.at(0))
	s.wantStep("a", "due", "")
}

func createInThePast(s *script) {
	created := s.start(compile(s.t, "past", "a"), func(r *dag.NewRun) { r.StartAt = s.now })
	s.want("sends", names(created.Sends), []string{"a"})
	s.wantRun("state", "running", "start_at", "", "deadline", s.at(time.Hour))
}

// opaqueJSON has what a JSON library would change: number texts, the order of keys, white space, escapes.
func opaqueJSON(s *script) {
	const input = `{"z":1.0, "a":12345678901234567890,"e":1e400,"t":"é\u00e9<>\u2028"}`
	const output = ` {"total":10.00,"list":[],"none":{} , "b":9007199254740993}`
	s.start(compile(s.t, "opaque", "a", "b<a"), func(r *dag.NewRun) { r.Input = json.RawMessage(input) })
	s.complete(dag.CompleteRequest{ClaimRef: s.claim("a"), Output: json.RawMessage(output)})
	claim := s.begin(s.request("b", "n")).Claim
	s.want("input", string(claim.Input), input)
	s.want("output", string(claim.Outputs["a"]), output)
	s.want("stored input", s.state.Inputs[s.run], input)
	s.want("stored output", s.state.Outputs[s.run]["a"], output)
	s.wantRun("bytes", number(len(input)+len(output)))
}
