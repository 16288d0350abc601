package enginetest

import (
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

func reissueScenarios() []scenario {
	return []scenario{
		{"reissue/only if it is as it was seen", reissueRaced},
		{"reissue/never while the claim is alive", reissueAlive},
		{"reissue/a crash is counted and remembered", reissueCrash},
		{"reissue/what does not count", reissueUncounted},
		{"reissue/after a delay", reissueDelayed},
		{"reissue/a queued step", reissueQueued},
		{"reissue/a due in the future is kept", reissueKeepsDue},
		{"reissue/a retrying step", reissueRetrying},
		{"reissue/three crashes are poison", reissuePoison},
		{"reissue/in a paused run", reissuePaused},
		{"reissue/in a cancelling run", reissueCancelling},
		{"crash taken back/once", takenBack},
		{"crash taken back/not from a settled step", takenBackSettled},
		{"crash taken back/all that are remembered", takenBackMany},
	}
}

func reissueRaced(s *script) {
	s.start(compile(s.t, "raced", "a", "b<a"), nil)
	s.claim("a")
	s.advance(ttl)
	seen := s.asSeen("a", true, 0)
	before := s.state
	for what, change := range map[string]func(*dag.ReissueRequest){
		"state": func(r *dag.ReissueRequest) { r.State, r.Nonce = dag.StepQueued, "" },
		"epoch": func(r *dag.ReissueRequest) { r.Epoch++ },
		"claim": func(r *dag.ReissueRequest) { r.Nonce = "n" },
	} {
		req := seen
		change(&req)
		s.want(what, s.reissue(req), dag.Settled{Reply: dag.ReplyRaced, Step: dag.StepRunning, Run: dag.RunRunning})
	}
	pending := s.asSeen("b", false, 0)
	s.want("pending", s.reissue(pending), dag.Settled{Reply: dag.ReplyRaced, Step: dag.StepPending, Run: dag.RunRunning})
	s.want("state", s.state, before)
	s.wantOK("as seen", s.reissue(seen), dag.StepQueued)
	s.finish("a")
	s.want("succeeded", s.reissue(s.asSeen("a", false, 0)), dag.Settled{Reply: dag.ReplyRaced, Step: dag.StepSucceeded, Run: dag.RunRunning})
	seen.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
	s.want("no run", s.reissue(seen), dag.Settled{Reply: dag.ReplyRaced})
}

func reissueAlive(s *script) {
	s.start(compile(s.t, "alive", "a"), nil)
	ref := s.claim("a")
	s.advance(ttl)
	seen := s.asSeen("a", true, 0)
	s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: time.Second})
	before := s.state
	alive := dag.Settled{Reply: dag.ReplyAlive, Step: dag.StepRunning, Run: dag.RunRunning}
	s.want("renewed", s.reissue(seen), alive)
	s.advance(999 * time.Millisecond)
	s.want("to the last millisecond", s.reissue(seen), alive)
	s.want("state", s.state, before)
	s.advance(time.Millisecond)
	s.wantOK("then", s.reissue(seen), dag.StepQueued)
}

func reissueCrash(s *script) {
	s.start(compile(s.t, "crash", "a"), nil)
	ref, got := s.dies("a")
	s.want("answer", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepQueued, Run: dag.RunRunning, Sends: []dag.Send{
		{Delivery: dag.Delivery{Run: s.run, Step: "a", Epoch: 2}, Def: s.graph.Digest, Handler: "test.a", Queue: "q-a", TraceParent: "00-trace"},
	}})
	s.want("step", s.step("a"), Fields{
		"state": "queued", "epoch": "2", "dead": ref.Nonce, "attempts": "1", "crashes": "1", "worker": worker,
		"queued_at": s.at(0), "started_at": s.at(-ttl),
	})
	s.want("claims", len(s.state.Claims), 0)
	s.want("agenda", s.state.Agenda[s.sendEntry("a")], s.ms(time.Second))
	s.want("log", s.events(), []string{"created", "begun a", "crashed a"})
	s.finish("a")
	s.wantStep("a", "crashes", "1", "attempts", "2")
}

func reissueUncounted(s *script) {
	s.start(compile(s.t, "uncounted", "a"), nil)
	for range 4 {
		s.claim("a")
		s.advance(ttl)
		s.wantOK("reissue", s.reissue(s.asSeen("a", false, 0)), dag.StepQueued)
	}
	s.wantStep("a", "crashes", "", "dead", "", "epoch", "5", "attempts", "4", "failures", "")
	s.want("log", s.events()[2], "reissued a")
}

func reissueDelayed(s *script) {
	s.start(compile(s.t, "delayed", "a"), nil)
	s.claim("a")
	s.advance(ttl)
	got := s.reissue(s.asSeen("a", true, 7*time.Second))
	s.want("answer", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepQueued, Run: dag.RunRunning})
	s.wantStep("a", "due", s.at(7*time.Second), "epoch", "2")
	s.want("agenda", s.state.Agenda[s.sendEntry("a")], s.ms(7*time.Second))
	s.advance(6 * time.Second)
	s.want("a second early", s.begin(s.request("a", "n")).Verdict, dag.VerdictRun)
}

func reissueQueued(s *script) {
	s.start(compile(s.t, "requeue", "a"), nil)
	s.handedOver(s.delivery("a"))
	s.advance(time.Minute)
	got := s.reissue(s.asSeen("a", true, 0))
	s.want("sends", names(got.Sends), []string{"a"})
	s.wantStep("a", "epoch", "2", "queued_at", s.at(0), "crashes", "", "attempts", "")
	s.want("doubts", len(s.state.Doubts), 0)
	s.want("agenda", s.state.Agenda[s.sendEntry("a")], s.ms(time.Second))
	s.want("log", s.events(), []string{"created", "reissued a"})
}

func reissueKeepsDue(s *script) {
	s.start(compile(s.t, "keepdue", "a"), func(r *dag.NewRun) { r.StartAt = s.now.Add(time.Minute) })
	s.reissue(s.asSeen("a", false, 0))
	s.wantStep("a", "due", s.at(time.Minute), "epoch", "2")
	s.want("agenda", s.state.Agenda, map[string]int64{s.sendEntry("a"): s.ms(time.Minute), "end:" + s.run: s.ms(time.Minute + time.Hour)})
	s.reissue(s.asSeen("a", false, 2*time.Minute))
	s.wantStep("a", "due", s.at(2*time.Minute), "epoch", "3")
	s.wantRun("state", "scheduled")
}

func reissueRetrying(s *script) {
	s.start(compile(s.t, "reretry", "a"), nil)
	ref, _ := s.stumbles("a", 10*time.Second)
	got := s.reissue(s.asSeen("a", false, 0))
	s.want("before due", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepQueued, Run: dag.RunRunning})
	s.wantStep("a", "due", s.at(10*time.Second), "failures", "1", "done", ref.Nonce)
	s.want("doubts", len(s.state.Doubts), 0)
	s.advance(10 * time.Second)
	s.stumbles("a", time.Second)
	s.advance(time.Minute)
	got = s.reissue(s.asSeen("a", false, 0))
	s.want("long after", names(got.Sends), []string{"a"})
	s.wantStep("a", "due", "", "failures", "2", "error", text(dag.StepError{Code: "SLOW", Message: "try later", Retryable: true}))
}

func reissuePoison(s *script) {
	s.start(compile(s.t, "poison", "a", "b<a", "c"), nil)
	s.dies("a")
	s.dies("a")
	ref, got := s.dies("a")
	s.want("answer", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepFailed, Run: dag.RunRunning})
	s.wantStep("a", "state", "failed", "crashes", "3", "attempts", "3", "failures", "", "epoch", "3", "claim", "", "finished_at", s.at(0),
		"error", text(dag.StepError{
			Code: "POISON", Message: "the worker process died 3 times while it ran this step; last worker " + worker + ", last attempt 3",
		}))
	s.want("the last nonce", strings.HasSuffix(s.step("a")["dead"], ref.Nonce), true)
	s.wantStep("b", "fail", "1")
	s.want("dlq", s.state.DLQ, map[string]int64{s.run + ":a": s.ms(0)})
	s.want("log", s.events()[5:], []string{"begun a", "crashed a", "failed a"})
	s.finish("c")
	s.wantRun("state", "failed")
}

func reissuePaused(s *script) {
	s.start(compile(s.t, "reissuepaused", "a"), nil)
	s.handedOver(s.delivery("a"))
	s.claim("a")
	s.advance(ttl)
	s.pauses()
	got := s.reissue(s.asSeen("a", true, 0))
	s.want("answer", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepQueued, Run: dag.RunPaused})
	s.want("agenda and doubts", len(s.state.Agenda)+len(s.state.Doubts), 0)
	s.wantStep("a", "crashes", "1", "epoch", "2")
}

func reissueCancelling(s *script) {
	s.start(compile(s.t, "reissuecancelling", "a", "b", "c"), nil)
	s.dies("a")
	s.dies("a")
	s.claim("a")
	s.claim("b")
	s.cancels()
	s.advance(ttl)
	got := s.reissue(s.asSeen("a", true, 0))
	s.want("even the third crash", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepCancelled, Run: dag.RunCancelling})
	s.wantStep("a", "crashes", "3", "error", "", "finished_at", s.at(0), "epoch", "4")
	got = s.reissue(s.asSeen("b", false, 0))
	s.want("the last one", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepCancelled, Run: dag.RunCancelled})
	s.want("dlq", len(s.state.DLQ), 0)
	s.want("agenda and doubts", len(s.state.Agenda)+len(s.state.Doubts), 0)
	s.want("log", s.events()[7:], []string{"cancel_requested", "cancelled c", "crashed a", "reissued b", "run_cancelled"})
}

func takenBack(s *script) {
	s.start(compile(s.t, "back", "a"), nil)
	ref, _ := s.dies("a")
	lost := dag.Beat{Lost: true, Run: dag.RunRunning}
	s.want("woken up", s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl}), lost)
	s.wantStep("a", "crashes", "", "dead", "", "state", "queued")
	s.dies("a")
	second := s.claim("a")
	s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl})
	s.wantStep("a", "crashes", "1", "claim", second.Nonce)
	s.want("log", s.events(), []string{"created", "begun a", "crashed a", "crash_taken_back a", "begun a", "crashed a", "begun a"})
}

func takenBackSettled(s *script) {
	s.start(compile(s.t, "backsettled", "a", "b"), nil)
	ref, _ := s.dies("a")
	s.finish("a")
	s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl})
	s.wantStep("a", "crashes", "1", "dead", ref.Nonce)
	s.dies("b")
	s.dies("b")
	last, _ := s.dies("b")
	s.heartbeat(dag.HeartbeatRequest{ClaimRef: last, TTL: ttl})
	s.wantStep("b", "crashes", "3", "state", "failed")
}

// takenBackMany lets more claims die than are remembered: each crash but two is taken back, so that no third one is counted.
func takenBackMany(s *script) {
	s.start(compile(s.t, "backmany", "a"), nil)
	first, _ := s.dies("a")
	refs := []dag.ClaimRef{first}
	for range 5 {
		ref, _ := s.dies("a")
		refs = append(refs, ref)
		s.wantStep("a", "crashes", "2", "dead", first.Nonce+","+ref.Nonce)
		s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl})
		s.wantStep("a", "crashes", "1", "dead", first.Nonce)
	}
	for _, ref := range refs {
		s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl})
	}
	s.wantStep("a", "crashes", "", "dead", "")
	s.want("epoch", s.step("a")["epoch"], number(len(refs)+1))
}
