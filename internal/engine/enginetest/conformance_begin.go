package enginetest

import (
	"encoding/json"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

func beginScenarios() []scenario {
	return []scenario{
		{"begin/claims the step", beginClaims},
		{"begin/a late copy of a begin claims nothing when its attempt is over", lateBegin},
		{"begin/all that a handler needs", beginTellsAll},
		{"begin/the same nonce gets the same answer", beginAgain},
		{"begin/no such run", beginNoRun},
		{"begin/stale before all but the run", beginStale},
		{"begin/done and failed", beginSettled},
		{"begin/busy while another runs it", beginBusy},
		{"begin/paused runs are parked", beginParked},
		{"begin/parked before busy until due", beginParkedNotDue},
		{"begin/busy until due before alone", beginDueBeforeAlone},
		{"heartbeat/renews however late", heartbeatRenews},
		{"heartbeat/another nonce has lost", heartbeatLost},
		{"heartbeat/leaving stays", heartbeatLeaving},
	}
}

func beginClaims(s *script) {
	s.start(compile(s.t, "begin", "a", "b<a"), nil)
	s.advance(300 * time.Millisecond)
	s.begin(s.request("a", "n1"))
	s.want("step", s.step("a"), Fields{
		"state": "running", "epoch": "1", "claim": "n1", "lease": s.at(ttl), "attempts": "1", "worker": worker,
		"queued_at": s.at(-300 * time.Millisecond), "started_at": s.at(0),
	})
	s.want("claims", s.state.Claims, map[string]int64{s.run + ":a": s.ms(ttl)})
	s.want("agenda", len(s.state.Agenda), 1)
	s.wantRun("started_at", s.at(0), "active", "1")
	s.want("log", s.events(), []string{"created", "begun a"})
	// A doubt goes as well.
	s.complete(dag.CompleteRequest{ClaimRef: s.ref("a", "n1"), Output: json.RawMessage(`1`)})
	s.handedOver(s.delivery("b"))
	s.want("doubts", len(s.state.Doubts), 1)
	s.claim("b")
	s.want("doubts", len(s.state.Doubts), 0)
}

func beginTellsAll(s *script) {
	jitter := 0.25
	w := workflow("tells", "2.1.0", "a", "b", "c<a,b")
	w.Steps[2].Config = json.RawMessage(`{"currency":"USD"}`)
	w.Steps[2].Retry = dag.RetryPolicy{MaxAttempts: 4, Backoff: dag.BackoffLinear, BaseDelay: 1500 * time.Millisecond, MaxDelay: time.Minute, Jitter: &jitter}
	g, err := dag.Compile(&w)
	s.want("compile", err, nil)
	s.start(g, func(r *dag.NewRun) { r.Labels, r.CorrelationID = map[string]string{"k": "v"}, "corr" })
	s.finish("a")
	s.finish("b")
	_, got := s.stumbles("c", 0)
	s.wantOK("fail", got, dag.StepRetrying)
	begun := s.begin(s.request("c", "n9"))
	s.want("claim", begun, dag.Begun{Verdict: dag.VerdictRun, Claim: dag.Claim{
		ClaimRef: s.ref("c", "n9"), Epoch: 1, Worker: worker, Workflow: "test/tells", Version: "2.1.0", Handler: "test.c", Queue: "q-c",
		Config: json.RawMessage(`{"currency":"USD"}`), Input: json.RawMessage(`{"cart":[1.0,2]}`),
		Outputs: map[string]json.RawMessage{"a": json.RawMessage(`"a"`), "b": json.RawMessage(`"b"`)},
		Timeout: 15 * time.Second,
		Retry:   dag.Policy{MaxAttempts: 4, Backoff: dag.BackoffLinear, BaseDelay: 1500 * time.Millisecond, MaxDelay: time.Minute, Jitter: 0.25},
		// Attempts are counted with this one, failures without.
		Attempts: 2, Failures: 1, Labels: map[string]string{"k": "v"}, CorrelationID: "corr", TraceParent: "00-trace",
	}})
	s.wantStep("c", "error", text(dag.StepError{Code: "SLOW", Message: "try later", Retryable: true}))
}

func beginAgain(s *script) {
	s.start(compile(s.t, "again", "a"), nil)
	req := s.request("a", "n1")
	first := s.begin(req)
	s.advance(time.Hour)
	s.pauses()
	before := s.state
	s.want("much later, in a paused run", s.begin(req), first)
	s.want("state", s.state, before)
}

func beginNoRun(s *script) {
	s.start(compile(s.t, "norun", "a"), nil)
	req := s.request("a", "n")
	req.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
	s.want("verdict", s.begin(req), dag.Begun{Verdict: dag.VerdictNoRun})
}

func beginStale(s *script) {
	s.start(compile(s.t, "stale", "a", "b<a"), nil)
	stale := dag.Begun{Verdict: dag.VerdictStale}
	s.want("pending", s.begin(s.request("b", "n")), stale)
	early := s.request("a", "n")
	early.Epoch = 2
	s.want("an epoch to come", s.begin(early), stale)
	other := s.request("a", "n")
	other.Def = "0123456789abcdef0123456789abcdef"
	s.want("another graph", s.begin(other), stale)
	old := s.request("a", "n-old")
	ref := s.claim("a")
	s.release(ref)
	s.want("an old epoch", s.begin(old), stale)
	s.finish("a")
	s.want("an old epoch of a succeeded step", s.begin(old), stale)
	s.breaks("b", false)
	late := s.request("b", "n")
	late.Epoch = 7
	s.want("another epoch of a failed step", s.begin(late), stale)
}

func beginSettled(s *script) {
	s.start(compile(s.t, "settled", "a", "b", "c"), nil)
	s.finish("a")
	s.want("succeeded", s.begin(s.request("a", "n")), dag.Begun{Verdict: dag.VerdictDone})
	s.breaks("b", false)
	s.want("failed", s.begin(s.request("b", "n")), dag.Begun{Verdict: dag.VerdictFailed})
	ref := s.claim("c")
	s.cancels()
	s.release(ref)
	s.want("cancelled", s.begin(s.request("c", "n")), dag.Begun{Verdict: dag.VerdictDone})
	s.want("failed in an ended run", s.begin(s.request("b", "n")), dag.Begun{Verdict: dag.VerdictFailed})
}

func beginBusy(s *script) {
	s.start(compile(s.t, "busy", "a"), nil)
	s.claim("a")
	s.advance(5 * time.Second)
	s.want("claimed", s.begin(s.request("a", "n")), dag.Begun{Verdict: dag.VerdictBusy, Wait: ttl - 5*time.Second})
	s.advance(time.Hour)
	s.want("never takes over", s.begin(s.request("a", "n")), dag.Begun{Verdict: dag.VerdictBusy})
	s.pauses()
	s.want("busy before parked", s.begin(s.request("a", "n")).Verdict, dag.VerdictBusy)
}

func beginParked(s *script) {
	s.start(compile(s.t, "parked", "a"), nil)
	s.pauses()
	s.want("paused", s.begin(s.request("a", "n")), dag.Begun{Verdict: dag.VerdictParked})
	s.cancels()
	s.want("cancelled", s.begin(s.request("a", "n")), dag.Begun{Verdict: dag.VerdictDone})
}

func beginParkedNotDue(s *script) {
	s.start(compile(s.t, "parkeddue", "a"), nil)
	s.stumbles("a", time.Minute)
	s.want("before due", s.begin(s.request("a", "n")), dag.Begun{Verdict: dag.VerdictBusy, Wait: time.Minute})
	s.pauses()
	s.want("before due and paused", s.begin(s.request("a", "n")), dag.Begun{Verdict: dag.VerdictParked})
}

func beginDueBeforeAlone(s *script) {
	s.start(compile(s.t, "alone", "a"), nil)
	s.dies("a")
	s.want("after one crash", s.begin(s.request("a", "n2")).Verdict, dag.VerdictRun)
	s.advance(ttl)
	s.reissue(s.asSeen("a", true, 5*time.Second))
	s.want("before due", s.begin(s.request("a", "n3")), dag.Begun{Verdict: dag.VerdictBusy, Wait: 5 * time.Second})
	s.advance(5 * time.Second)
	before := s.state
	s.want("not alone", s.begin(s.request("a", "n3")), dag.Begun{Verdict: dag.VerdictAlone})
	s.want("state", s.state, before)
	req := s.request("a", "n3")
	req.Alone = true
	begun := s.begin(req)
	s.want("alone", begun.Verdict, dag.VerdictRun)
	s.want("counts", []int{begun.Claim.Attempts, begun.Claim.Crashes, begun.Claim.Failures}, []int{3, 2, 0})
}

func heartbeatRenews(s *script) {
	s.start(compile(s.t, "beat", "a"), nil)
	ref := s.claim("a")
	s.advance(time.Hour)
	s.want("late", s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: 30 * time.Second}), dag.Beat{Run: dag.RunRunning})
	s.wantStep("a", "lease", s.at(30*time.Second), "leaving", "")
	s.want("claims", s.state.Claims, map[string]int64{s.run + ":a": s.ms(30 * time.Second)})
	s.cancels()
	s.want("cancelling", s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl}), dag.Beat{Run: dag.RunCancelling})
}

func heartbeatLost(s *script) {
	s.start(compile(s.t, "lost", "a"), nil)
	lost := dag.Beat{Lost: true, Run: dag.RunRunning}
	s.want("not begun", s.heartbeat(dag.HeartbeatRequest{ClaimRef: s.ref("a", "n"), TTL: ttl}), lost)
	ref := s.claim("a")
	before := s.state
	s.want("another", s.heartbeat(dag.HeartbeatRequest{ClaimRef: s.ref("a", "n"), TTL: ttl, Leaving: true}), lost)
	s.want("state", s.state, before)
	s.release(ref)
	s.want("given back", s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl}), lost)
	ref.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
	s.want("no run", s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl}), dag.Beat{Lost: true})
}

func heartbeatLeaving(s *script) {
	s.start(compile(s.t, "leaving", "a"), nil)
	ref := s.claim("a")
	s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl, Leaving: true})
	s.wantStep("a", "leaving", "1")
	s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl})
	s.wantStep("a", "leaving", "1")
	s.advance(ttl)
	got := s.reissue(s.asSeen("a", true, 0))
	s.wantOK("reissue", got, dag.StepQueued)
	s.wantStep("a", "crashes", "", "dead", "", "leaving", "")
	s.claim("a")
	s.wantStep("a", "leaving", "")
}

// lateBegin: a copy of a begin that was held up comes after its attempt has failed, and the step waits for the next under the same epoch.
func lateBegin(s *script) {
	s.start(compile(s.t, "late", "a"), nil)
	ref, _ := s.stumbles("a", 0)
	again := s.request("a", ref.Nonce)
	s.want("the late copy", s.begin(again).Verdict, dag.VerdictStale)
	s.wantStep("a", "state", "retrying", "attempts", "1")
	s.want("another", s.begin(s.request("a", s.nonce())).Verdict, dag.VerdictRun)
	s.want("the late copy of the first", s.begin(again).Verdict, dag.VerdictStale)
}
