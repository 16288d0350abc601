package redisstore_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// Runs of the story. Those of partition 3f are shown in docs/redis-schema.md.
const (
	runRetrying  = "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"
	runScheduled = "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZB"
	runRunning   = "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZC"
	runFailed    = "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZD"
	runCrashing  = "run_07_01J9Z0K3V8Q6S5T4R3W2X1Y0ZE"
	runExpired   = "run_07_01J9Z0K3V8Q6S5T4R3W2X1Y0ZF"
)

func storyWorkflow() *dag.Workflow {
	return &dag.Workflow{
		Namespace: "shop", Name: "order", Version: "1.0.0", Timeout: time.Hour,
		Steps: []dag.Step{
			{Name: "check", Handler: "shop.check"},
			{Name: "charge", Handler: "shop.charge", DependsOn: []string{"check"}, Config: json.RawMessage(`{"currency":"EUR"}`)},
			{Name: "mail", Handler: "shop.mail", DependsOn: []string{"charge"}, Queue: "mail"},
		},
	}
}

// story makes the same calls each time; every verb of the store is among them.
type story struct {
	t     *testing.T
	s     *subject
	graph *dag.Graph
	now   time.Time
}

func tell(t *testing.T, s *subject) *story {
	t.Helper()
	graph, err := dag.Compile(storyWorkflow())
	if err != nil {
		t.Fatal(err)
	}
	st := &story{t: t, s: s, graph: graph, now: enginetest.Epoch()}
	ctx := t.Context()
	st.put(ctx)
	st.shown(ctx)
	st.crashing(ctx)
	st.expired(ctx)
	return st
}

func (s *story) ok(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

func (s *story) wait(d time.Duration) {
	s.t.Helper()
	s.now = s.now.Add(d)
	s.ok("set time", s.s.SetTime(s.t.Context(), s.now))
}

func (s *story) create(ctx context.Context, id string, change func(*dag.NewRun)) {
	s.t.Helper()
	run := dag.NewRun{ID: id, Graph: s.graph, Input: json.RawMessage(`{"total":12.50}`), Timeout: time.Hour}
	if change != nil {
		change(&run)
	}
	created, err := s.s.CreateRun(ctx, run)
	s.ok("create "+id, err)
	if created.ID != id || created.Replayed {
		s.t.Fatalf("create %s: %+v", id, created)
	}
}

// begin claims a step for the nonce that is named after it.
func (s *story) begin(ctx context.Context, run, step string, epoch int, nonce string) dag.ClaimRef {
	s.t.Helper()
	begun, err := s.s.Begin(ctx, dag.BeginRequest{
		Delivery: dag.Delivery{Run: run, Step: step, Epoch: epoch}, Def: s.graph.Digest, Nonce: nonce, Worker: "w1", TTL: 20 * time.Second,
	})
	s.ok("begin", err)
	if begun.Verdict != dag.VerdictRun || begun.Claim.Nonce != nonce {
		s.t.Fatalf("begin %s of %s: %+v", step, run, begun)
	}
	return begun.Claim.ClaimRef
}

func (s *story) settled(what string, got dag.Settled, err error, step dag.StepState) {
	s.t.Helper()
	s.ok(what, err)
	if (got.Reply != dag.ReplyOK && got.Reply != dag.ReplyAlready) || got.Step != step {
		s.t.Fatalf("%s: %+v, want step %s", what, got, step)
	}
}

func (s *story) complete(ctx context.Context, ref dag.ClaimRef, output string) {
	s.t.Helper()
	got, err := s.s.Complete(ctx, dag.CompleteRequest{ClaimRef: ref, Output: json.RawMessage(output)})
	s.settled("complete", got, err, dag.StepSucceeded)
}

func (s *story) fail(ctx context.Context, ref dag.ClaimRef, retryable bool, want dag.StepState) {
	s.t.Helper()
	got, err := s.s.Fail(ctx, dag.FailRequest{
		ClaimRef: ref, Error: dag.StepError{Code: "CARD_BUSY", Message: "the card is in use", Retryable: retryable}, Delay: 2 * time.Second,
	})
	s.settled("fail", got, err, want)
}

func (s *story) put(ctx context.Context) {
	s.t.Helper()
	w := storyWorkflow()
	s.ok("put workflow", s.s.PutWorkflow(ctx, dag.Registration{Workflow: w, Digest: s.graph.Digest, Source: "namespace: shop"}, false))
	s.ok("put worker", s.s.PutWorker(ctx, dag.WorkerInfo{ID: "w1", Host: "h1", PID: 7, Queues: []string{"shop"}, Handlers: []string{"shop.check"}, TTL: 20 * time.Second}, false))
}

// shown is what the documentation shows: one run of each kind that a reader meets.
func (s *story) shown(ctx context.Context) {
	s.t.Helper()
	s.create(ctx, runRetrying, func(r *dag.NewRun) {
		r.Key, r.Fingerprint, r.Labels, r.CorrelationID = "order-1", "f1", map[string]string{"channel": "web"}, "c1"
		r.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	})
	s.create(ctx, runScheduled, func(r *dag.NewRun) { r.StartAt = s.now.Add(time.Hour) })
	s.create(ctx, runRunning, nil)
	s.create(ctx, runFailed, nil)
	s.wait(10 * time.Millisecond)
	s.complete(ctx, s.begin(ctx, runRetrying, "check", 1, "n1"), `{"ok":true}`)
	s.ok("handed over", s.s.HandedOver(ctx, []dag.Delivery{{Run: runRetrying, Step: "charge", Epoch: 1}, {Run: runCrashing, Step: "check", Epoch: 1}}))
	s.fail(ctx, s.begin(ctx, runRetrying, "charge", 1, "n2"), true, dag.StepRetrying)
	ref := s.begin(ctx, runRunning, "check", 1, "n3")
	s.wait(10 * time.Millisecond)
	beat, err := s.s.Heartbeat(ctx, dag.HeartbeatRequest{ClaimRef: ref, TTL: 20 * time.Second})
	s.ok("heartbeat", err)
	if beat.Lost || beat.Run != dag.RunRunning {
		s.t.Fatalf("heartbeat: %+v", beat)
	}
	s.fail(ctx, s.begin(ctx, runFailed, "check", 1, "n4"), false, dag.StepFailed)
}

// crashing is released, put off, taken over, failed and retried.
func (s *story) crashing(ctx context.Context) {
	s.t.Helper()
	s.create(ctx, runCrashing, nil)
	got, err := s.s.Release(ctx, s.begin(ctx, runCrashing, "check", 1, "n5"))
	s.settled("release", got, err, dag.StepQueued)
	s.ok("later", s.s.Later(ctx, dag.Delivery{Run: runCrashing, Step: "check", Epoch: 2}, time.Minute))
	s.begin(ctx, runCrashing, "check", 2, "n6")
	s.wait(21 * time.Second)
	dead := dag.ReissueRequest{
		Run: runCrashing, Step: "check", Def: s.graph.Digest, State: dag.StepRunning, Epoch: 2, Nonce: "n6", Crash: true, Delay: time.Second,
	}
	got, err = s.s.Reissue(ctx, dead)
	s.ok("reissue", err)
	if got.Reply != dag.ReplyOK && got.Reply != dag.ReplyRaced || got.Step != dag.StepQueued {
		s.t.Fatalf("reissue: %+v", got)
	}
	s.wait(time.Second)
	s.fail(ctx, s.begin(ctx, runCrashing, "check", 3, "n7"), false, dag.StepFailed)
	retried, err := s.s.Retry(ctx, dag.OperatorRequest{Run: runCrashing, Nonce: "o1", Actor: "eve", Reason: "card unlocked"})
	s.ok("retry", err)
	if retried.Reply != dag.ReplyOK && retried.Reply != dag.ReplyAlready || retried.Run != dag.RunRunning {
		s.t.Fatalf("retry: %+v", retried)
	}
}

func (s *story) expired(ctx context.Context) {
	s.t.Helper()
	s.create(ctx, runExpired, func(r *dag.NewRun) { r.Timeout = time.Second })
	s.wait(time.Second)
	got, err := s.s.Expire(ctx, runExpired)
	s.ok("expire", err)
	if got.Reply != dag.ReplyOK && got.Reply != dag.ReplyAlready || got.Run != dag.RunFailed {
		s.t.Fatalf("expire: %+v", got)
	}
}
