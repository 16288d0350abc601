package enginetest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

func settleScenarios() []scenario {
	return []scenario{
		{"complete/linear run", completeLinear},
		{"complete/diamond", completeDiamond},
		{"complete/fan out and in", completeFan},
		{"complete/only the claim counts", completeFenced},
		{"complete/too big", completeTooBig},
		{"complete/in a paused run", completePaused},
		{"complete/in a cancelling run", completeCancelling},
		{"fail/retried until the failures are used up", failRetries},
		{"fail/a step that waits for long is looked after on the way", failsForLong},
		{"fail/for good", failForGood},
		{"fail/other branches go on", failBranches},
		{"fail/in a paused run", failPaused},
		{"fail/in a cancelling run", failCancelling},
		{"fail/only the claim counts", failFenced},
		{"release/neither failure nor crash", releaseCountsNothing},
		{"release/in paused and cancelling runs", releaseHeld},
	}
}

func completeLinear(s *script) {
	s.start(compile(s.t, "linear", "a", "b<a", "c<b"), nil)
	ref := s.claim("a")
	s.advance(time.Second)
	got := s.complete(dag.CompleteRequest{ClaimRef: ref, Output: json.RawMessage(`{"x":1}`)})
	s.want("answer", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepSucceeded, Run: dag.RunRunning, Sends: []dag.Send{
		{Delivery: dag.Delivery{Run: s.run, Step: "b", Epoch: 1}, Def: s.graph.Digest, Handler: "test.b", Queue: "q-b", TraceParent: "00-trace"},
	}})
	s.want("step", s.step("a"), Fields{
		"state": "succeeded", "epoch": "1", "done": ref.Nonce, "attempts": "1", "worker": worker,
		"queued_at": s.at(-time.Second), "started_at": s.at(-time.Second), "finished_at": s.at(0),
	})
	s.want("next", s.step("b"), Fields{"state": "queued", "epoch": "1", "queued_at": s.at(0), "ok": "1"})
	s.wantRun("active", "1", "completed", "1", "bytes", "23")
	s.want("b", s.finish("b"), []string{"c"})
	s.wantRun("state", "running")
	s.want("c", s.finish("c"), []string{})
	s.wantRun("state", "succeeded", "active", "", "completed", "3", "finished_at", s.at(0))
	s.want("agenda", len(s.state.Agenda), 0)
	s.want("claims", len(s.state.Claims), 0)
	s.want("index", s.state.Index["state:succeeded"], map[string]int64{s.run: s.ms(-time.Second)})
	s.want("log", s.events(), []string{
		"created", "begun a", "succeeded a", "begun b", "succeeded b", "begun c", "succeeded c", "run_succeeded",
	})
}

func completeDiamond(s *script) {
	s.start(compile(s.t, "diamond", "a", "b<a", "c<a", "d<b,c"), nil)
	s.want("a", s.finish("a"), []string{"b", "c"})
	s.wantRun("active", "2")
	s.want("c", s.finish("c"), []string{})
	s.wantStep("d", "state", "", "ok", "1")
	s.want("b", s.finish("b"), []string{"d"})
	s.want("d", s.finish("d"), []string{})
	s.wantRun("state", "succeeded", "completed", "4")
}

func completeFan(s *script) {
	steps := []string{"root"}
	leaves := strings.Split("a b c d e f g h", " ")
	for _, leaf := range leaves {
		steps = append(steps, leaf+"<root")
	}
	s.start(compile(s.t, "fan", append(steps, "join<"+strings.Join(leaves, ","))...), nil)
	s.want("root", s.finish("root"), leaves)
	s.wantRun("active", "8")
	for i, leaf := range leaves {
		want := []string{}
		if i == len(leaves)-1 {
			want = []string{"join"}
		}
		s.want(leaf, s.finish(leaf), want)
	}
	s.finish("join")
	s.wantRun("state", "succeeded", "completed", "10")
}

func completeFenced(s *script) {
	s.start(compile(s.t, "fenced", "a", "b<a"), nil)
	out := json.RawMessage(`1`)
	fenced := func(what string, ref dag.ClaimRef, step dag.StepState) {
		s.t.Helper()
		before := s.state
		got := s.complete(dag.CompleteRequest{ClaimRef: ref, Output: out})
		s.want(what, got, dag.Settled{Reply: dag.ReplyFenced, Step: step, Run: dag.RunRunning})
		s.want(what+": state", s.state, before)
	}
	fenced("not begun", s.ref("a", "n"), dag.StepQueued)
	fenced("pending", s.ref("b", "n"), dag.StepPending)
	ref, _ := s.dies("a")
	fenced("declared dead", ref, dag.StepQueued)
	second := s.claim("a")
	fenced("declared dead, another runs", ref, dag.StepRunning)
	s.complete(dag.CompleteRequest{ClaimRef: second, Output: out})
	fenced("another was first", ref, dag.StepSucceeded)
	gone := ref
	gone.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
	s.want("no run", s.complete(dag.CompleteRequest{ClaimRef: gone, Output: out}), dag.Settled{Reply: dag.ReplyFenced})
}

func completeTooBig(s *script) {
	s.start(compile(s.t, "big", "a", "b<a"), nil)
	half := json.RawMessage(`"` + strings.Repeat("x", dag.MaxRunBytes/2) + `"`)
	s.complete(dag.CompleteRequest{ClaimRef: s.claim("a"), Output: half})
	ref := s.claim("b")
	before := s.state
	got := s.complete(dag.CompleteRequest{ClaimRef: ref, Output: half})
	s.want("answer", got, dag.Settled{Reply: dag.ReplyTooBig, Step: dag.StepRunning, Run: dag.RunRunning})
	s.want("state", s.state, before)
	// The last byte fits.
	rest := dag.MaxRunBytes - int(s.state.Runs[s.run].number("bytes"))
	got = s.complete(dag.CompleteRequest{ClaimRef: ref, Output: half[:rest]})
	s.wantOK("exactly full", got, dag.StepSucceeded)
	s.wantRun("bytes", number(dag.MaxRunBytes))
}

func completePaused(s *script) {
	s.start(compile(s.t, "paused", "a", "b<a"), nil)
	ref := s.claim("a")
	s.pauses()
	got := s.complete(dag.CompleteRequest{ClaimRef: ref, Output: json.RawMessage(`1`)})
	s.want("answer", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepSucceeded, Run: dag.RunPaused})
	s.wantStep("b", "state", "queued", "epoch", "1")
	_, sent := s.state.Agenda[s.sendEntry("b")]
	s.want("sent", sent, false)
	s.wantRun("active", "1")
	// The end test applies in a paused run.
	s.start(compile(s.t, "paused1", "a"), nil)
	ref = s.claim("a")
	s.pauses()
	s.complete(dag.CompleteRequest{ClaimRef: ref, Output: json.RawMessage(`1`)})
	s.wantRun("state", "succeeded")
}

func completeCancelling(s *script) {
	s.start(compile(s.t, "cancelling", "a", "b", "c<a"), nil)
	a, b := s.claim("a"), s.claim("b")
	s.cancels()
	got := s.complete(dag.CompleteRequest{ClaimRef: a, Output: json.RawMessage(`1`)})
	s.want("answer", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepSucceeded, Run: dag.RunCancelling})
	s.wantStep("c", "state", "cancelled", "ok", "1")
	s.want("output is kept", s.state.Outputs[s.run]["a"], "1")
	got = s.complete(dag.CompleteRequest{ClaimRef: b, Output: json.RawMessage(`1`)})
	s.want("the last one", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepSucceeded, Run: dag.RunCancelled})
	s.want("log", s.events(), []string{"created", "begun a", "begun b", "cancel_requested", "succeeded a", "succeeded b", "run_cancelled"})
	// Nothing was left to cancel.
	s.start(compile(s.t, "cancelling1", "a"), nil)
	a = s.claim("a")
	s.cancels()
	s.complete(dag.CompleteRequest{ClaimRef: a, Output: json.RawMessage(`1`)})
	s.wantRun("state", "succeeded")
}

func failRetries(s *script) {
	s.start(compile(s.t, "retries", "a"), nil)
	ref, got := s.stumbles("a", 2500*time.Millisecond)
	s.want("answer", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepRetrying, Run: dag.RunRunning, Delay: 2500 * time.Millisecond})
	cause := text(dag.StepError{Code: "SLOW", Message: "try later", Retryable: true})
	s.want("step", s.step("a"), Fields{
		"state": "retrying", "epoch": "1", "done": ref.Nonce, "due": s.at(2500 * time.Millisecond), "attempts": "1", "failures": "1",
		"error": cause, "worker": worker, "queued_at": s.at(0), "started_at": s.at(0),
	})
	s.want("doubts", s.state.Doubts, map[string]int64{s.run + ":a": s.ms(62500 * time.Millisecond)})
	s.want("claims", len(s.state.Claims), 0)
	s.wantRun("active", "1")
	s.advance(time.Second)
	again := s.fail(dag.FailRequest{ClaimRef: ref, Delay: time.Hour})
	s.want("asked again later", again, dag.Settled{Reply: dag.ReplyAlready, Step: dag.StepRetrying, Run: dag.RunRunning, Delay: 1500 * time.Millisecond})
	s.want("not yet", s.begin(s.request("a", "n")), dag.Begun{Verdict: dag.VerdictBusy, Wait: 1500 * time.Millisecond})
	s.advance(500 * time.Millisecond)
	_, got = s.stumbles("a", 0)
	s.wantOK("second", got, dag.StepRetrying)
	s.wantStep("a", "failures", "2", "due", s.at(0), "attempts", "2", "epoch", "1")
	_, got = s.stumbles("a", time.Second)
	s.want("third", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepFailed, Run: dag.RunFailed})
	// The error stays as it was given: it was the last attempt, not a final error.
	s.wantStep("a", "failures", "3", "error", cause, "due", "", "finished_at", s.at(0))
	s.want("dlq", s.state.DLQ, map[string]int64{s.run + ":a": s.ms(0)})
	s.want("log", s.events()[1:], []string{"begun a", "retrying a", "begun a", "retrying a", "begun a", "failed a", "run_failed"})
}

func failForGood(s *script) {
	s.start(compile(s.t, "final", "a", "b<a"), nil)
	s.breaks("a", false)
	s.wantStep("a", "failures", "1", "error", text(dag.StepError{Code: "NO", Message: "it is broken"}))
	s.wantStep("b", "fail", "1", "state", "")
	s.wantRun("state", "failed", "active", "", "completed", "", "finished_at", s.at(0))
	s.want("agenda", len(s.state.Agenda), 0)
	s.want("index", s.state.Index["state:failed"], map[string]int64{s.run: s.ms(0)})
	s.want("index", len(s.state.Index["state:running"]), 0)
}

func failBranches(s *script) {
	s.start(compile(s.t, "branches", "a", "b<a", "c<a", "d<b,c", "e<c"), nil)
	s.finish("a")
	s.breaks("b", false)
	s.wantRun("state", "running", "active", "1")
	s.want("c", s.finish("c"), []string{"e"})
	s.wantStep("d", "state", "", "ok", "1", "fail", "1")
	s.finish("e")
	s.wantRun("state", "failed", "completed", "3")
}

func failPaused(s *script) {
	s.start(compile(s.t, "failpaused", "a"), nil)
	ref := s.claim("a")
	s.pauses()
	got := s.fail(dag.FailRequest{ClaimRef: ref, Error: dag.StepError{Retryable: true}, Delay: time.Second})
	s.want("answer", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepRetrying, Run: dag.RunPaused, Delay: time.Second})
	s.want("doubts", len(s.state.Doubts), 0)
}

func failCancelling(s *script) {
	s.start(compile(s.t, "failcancelling", "a", "b", "c<a"), nil)
	a, b := s.claim("a"), s.claim("b")
	s.cancels()
	cause := dag.StepError{Code: "X", Message: "was cancelled", Retryable: true}
	got := s.fail(dag.FailRequest{ClaimRef: a, Error: cause})
	s.want("answer", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepCancelled, Run: dag.RunCancelling})
	s.wantStep("a", "failures", "1", "finished_at", s.at(0), "error", text(cause), "done", a.Nonce)
	s.wantStep("c", "fail", "", "state", "cancelled")
	s.want("dlq", len(s.state.DLQ), 0)
	got = s.fail(dag.FailRequest{ClaimRef: b, Error: cause})
	s.want("the last one", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepCancelled, Run: dag.RunCancelled})
	s.want("log", s.events()[4:], []string{"cancelled a", "cancelled b", "run_cancelled"})
}

func failFenced(s *script) {
	s.start(compile(s.t, "failfenced", "a"), nil)
	fenced := dag.Settled{Reply: dag.ReplyFenced, Step: dag.StepQueued, Run: dag.RunRunning}
	s.want("not begun", s.fail(dag.FailRequest{ClaimRef: s.ref("a", "n")}), fenced)
	s.want("not begun", s.release(s.ref("a", "n")), fenced)
	ref, _ := s.dies("a")
	s.want("dead", s.fail(dag.FailRequest{ClaimRef: ref}), fenced)
	s.want("dead", s.release(ref), fenced)
	s.wantStep("a", "failures", "", "epoch", "2")
	// Whatever it asks for next, a nonce that settled something gets the same answer.
	ref, _ = s.stumbles("a", time.Second)
	got := s.complete(dag.CompleteRequest{ClaimRef: ref, Output: json.RawMessage(`1`)})
	s.want("complete after fail", got, dag.Settled{Reply: dag.ReplyAlready, Step: dag.StepRetrying, Run: dag.RunRunning, Delay: time.Second})
	ref.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
	s.want("no run", s.fail(dag.FailRequest{ClaimRef: ref}), dag.Settled{Reply: dag.ReplyFenced})
	s.want("no run", s.release(ref), dag.Settled{Reply: dag.ReplyFenced})
}

func releaseCountsNothing(s *script) {
	s.start(compile(s.t, "release", "a"), nil)
	s.stumbles("a", 0)
	ref := s.claim("a")
	got := s.release(ref)
	s.want("answer", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepQueued, Run: dag.RunRunning, Sends: []dag.Send{
		{Delivery: dag.Delivery{Run: s.run, Step: "a", Epoch: 2}, Def: s.graph.Digest, Handler: "test.a", Queue: "q-a", TraceParent: "00-trace"},
	}})
	s.wantStep("a", "epoch", "2", "attempts", "2", "failures", "1", "crashes", "", "claim", "", "lease", "", "done", ref.Nonce, "worker", worker)
	s.want("agenda", s.state.Agenda[s.sendEntry("a")], s.ms(time.Second))
	s.want("log", s.events()[3:], []string{"begun a", "released a"})
	s.finish("a")
	s.want("long ago", s.release(ref), dag.Settled{Reply: dag.ReplyFenced, Step: dag.StepSucceeded, Run: dag.RunSucceeded})
}

func releaseHeld(s *script) {
	s.start(compile(s.t, "releasepaused", "a"), nil)
	ref := s.claim("a")
	s.pauses()
	s.want("paused", s.release(ref), dag.Settled{Reply: dag.ReplyOK, Step: dag.StepQueued, Run: dag.RunPaused})
	s.want("agenda", len(s.state.Agenda), 0)
	s.start(compile(s.t, "releasecancelling", "a", "b<a"), nil)
	ref = s.claim("a")
	s.cancels()
	s.want("cancelling", s.release(ref), dag.Settled{Reply: dag.ReplyOK, Step: dag.StepCancelled, Run: dag.RunCancelled})
	s.wantStep("a", "epoch", "2", "finished_at", s.at(0), "queued_at", s.at(0))
	s.want("log", s.events()[2:], []string{"cancel_requested", "released a", "run_cancelled"})
}

// failsForLong: whatever becomes of the task of a retrying step, somebody looks after it within two minutes.
func failsForLong(s *script) {
	s.start(compile(s.t, "patient", "a"), nil)
	s.stumbles("a", 5*time.Second)
	s.want("doubt", s.state.Doubts[s.run+":a"], s.ms(65*time.Second))
	s.advance(5 * time.Second)
	s.stumbles("a", 5*time.Minute)
	s.want("doubt", s.state.Doubts[s.run+":a"], s.ms(2*time.Minute))
}
