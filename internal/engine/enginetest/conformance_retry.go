package enginetest

import (
	"strconv"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

func retryScenarios() []scenario {
	return []scenario{
		{"retry/a failed step opens its run", retryFailed},
		{"retry/every failed step", retryAll},
		{"retry/a retrying step does not wait", retryRetrying},
		{"retry/a refused effect gets a new key", retryRefused},
		{"retry/nothing to retry", retryConflicts},
		{"retry/in a paused run", retryPaused},
		{"retry/poison starts from nothing", retryPoison},
		{"retry/after the deadline", retryExpired},
		{"retry/remembers sixteen requests", retryRemembers},
	}
}

func retryFailed(s *script) {
	s.start(compile(s.t, "retry", "a", "b<a", "c<b"), nil)
	s.finish("a")
	s.breaks("b", false)
	s.wantRun("state", "failed")
	s.advance(2 * time.Hour)
	old := s.delivery("b")
	got := s.retry(s.operator("b"))
	s.want("answer", got, dag.Operated{
		Reply: dag.ReplyOK, Run: dag.RunRunning, Stale: []dag.Delivery{old},
		Sends: []dag.Send{{Delivery: s.delivery("b"), Def: s.graph.Digest, Handler: "test.b", Queue: "q-b", TraceParent: "00-trace"}},
	})
	s.want("step", s.step("b"), Fields{
		"state": "queued", "epoch": "2", "attempts": "1", "worker": worker, "ok": "1",
		"queued_at": s.at(0), "started_at": s.at(-2 * time.Hour),
	})
	s.wantStep("c", "fail", "", "state", "")
	s.wantRun("state", "running", "active", "1", "finished_at", "", "deadline", s.at(time.Hour))
	s.want("agenda", s.state.Agenda, map[string]int64{"end:" + s.run: s.ms(time.Hour), s.sendEntry("b"): s.ms(time.Second)})
	s.want("dlq", len(s.state.DLQ), 0)
	s.want("index", s.state.Index["state:running"], map[string]int64{s.run: s.ms(-2 * time.Hour)})
	line := s.state.Logs[s.run][len(s.state.Logs[s.run])-1]
	s.want("log", line, text([]any{s.ms(0), "retried", "b", 2, 1, worker, "", "the provider is back", "ann"}))
	s.finish("b")
	s.finish("c")
	s.wantRun("state", "succeeded", "completed", "3")
}

func retryAll(s *script) {
	s.start(compile(s.t, "retryall", "a", "b", "c", "d<a,b,c"), nil)
	s.breaks("b", false)
	s.breaks("a", false)
	s.finish("c")
	s.wantStep("d", "fail", "2", "ok", "1")
	got := s.retry(s.operator(""))
	s.want("sends", names(got.Sends), []string{"a", "b"})
	s.want("stale", got.Stale, []dag.Delivery{{Run: s.run, Step: "a", Epoch: 1}, {Run: s.run, Step: "b", Epoch: 1}})
	s.wantStep("d", "fail", "", "ok", "1")
	s.wantRun("state", "running", "active", "2")
	s.want("log", s.events()[8:], []string{"retried a", "retried b"})
	s.finish("a")
	s.want("ready", s.finish("b"), []string{"d"})
	s.finish("d")
	s.wantRun("state", "succeeded")
}

func retryRetrying(s *script) {
	s.start(compile(s.t, "retrynow", "a", "b<a"), nil)
	ref, _ := s.stumbles("a", time.Hour)
	s.advance(time.Second)
	deadline := s.state.Runs[s.run]["deadline"]
	got := s.retry(s.operator("a"))
	s.want("sends", names(got.Sends), []string{"a"})
	s.want("stale", got.Stale, []dag.Delivery{{Run: s.run, Step: "a", Epoch: 1}})
	s.wantStep("a", "state", "queued", "epoch", "2", "failures", "", "due", "", "error", "", "done", "", "attempts", "1")
	s.wantStep("b", "fail", "")
	s.wantRun("active", "1", "deadline", deadline)
	s.want("doubts", len(s.state.Doubts), 0)
	s.want("an old answer", s.fail(dag.FailRequest{ClaimRef: ref}).Reply, dag.ReplyFenced)
	// Every failed step: a retrying one is none.
	s.stumbles("a", time.Hour)
	s.want("the whole run", s.retry(s.operator("")), dag.Operated{Reply: dag.ReplyConflict, Run: dag.RunRunning})
}

func retryRefused(s *script) {
	s.start(compile(s.t, "retryrefused", "a"), nil)
	s.breaks("a", true)
	s.retry(s.operator("a"))
	s.wantStep("a", "gen", "1")
	s.breaks("a", false)
	s.retry(s.operator("a"))
	s.wantStep("a", "gen", "1")
	s.breaks("a", true)
	s.retry(s.operator(""))
	s.want("the handler's key", s.begin(s.request("a", "n")).Claim.KeyGeneration, 2)
}

func retryConflicts(s *script) {
	s.start(compile(s.t, "retryconflicts", "a", "b<a", "c"), nil)
	conflict := func(what, step string, stands dag.StepState, run dag.RunState) {
		s.t.Helper()
		before := s.state
		s.want(what, s.retry(s.operator(step)), dag.Operated{Reply: dag.ReplyConflict, Run: run, Step: stands})
		s.want(what+": state", s.state, before)
	}
	conflict("queued", "a", dag.StepQueued, dag.RunRunning)
	conflict("pending", "b", dag.StepPending, dag.RunRunning)
	conflict("no such step", "x", "", dag.RunRunning)
	conflict("none failed", "", "", dag.RunRunning)
	s.claim("a")
	conflict("running", "a", dag.StepRunning, dag.RunRunning)
	s.breaks("c", false)
	s.cancels()
	conflict("cancelling", "c", dag.StepFailed, dag.RunCancelling)
	conflict("cancelling", "", "", dag.RunCancelling)
	s.advance(time.Hour)
	s.expire(s.run)
	conflict("cancelled", "c", dag.StepFailed, dag.RunCancelled)
	gone := s.operator("a")
	gone.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
	s.want("no run", s.retry(gone), dag.Operated{Reply: dag.ReplyNoRun})
	s.start(compile(s.t, "retryscheduled", "a"), func(r *dag.NewRun) { r.StartAt = s.now.Add(time.Hour) })
	conflict("scheduled", "a", dag.StepQueued, dag.RunScheduled)
	s.start(compile(s.t, "retrydone", "a"), nil)
	s.finish("a")
	conflict("succeeded", "a", dag.StepSucceeded, dag.RunSucceeded)
}

func retryPaused(s *script) {
	s.start(compile(s.t, "retrypaused", "a", "b"), nil)
	s.breaks("a", false)
	s.pauses()
	got := s.retry(s.operator("a"))
	s.want("answer", got, dag.Operated{Reply: dag.ReplyOK, Run: dag.RunPaused, Stale: []dag.Delivery{{Run: s.run, Step: "a", Epoch: 1}}})
	s.wantStep("a", "state", "queued", "epoch", "2")
	_, sent := s.state.Agenda[s.sendEntry("a")]
	s.want("sent", sent, false)
}

func retryPoison(s *script) {
	s.start(compile(s.t, "retrypoison", "a"), nil)
	var last dag.ClaimRef
	for range 3 {
		last, _ = s.dies("a")
	}
	s.wantRun("state", "failed")
	s.retry(s.operator("a"))
	s.wantStep("a", "crashes", "", "dead", "", "error", "", "attempts", "3", "epoch", "4")
	s.heartbeat(dag.HeartbeatRequest{ClaimRef: last, TTL: ttl})
	s.wantStep("a", "crashes", "")
	s.want("not alone", s.begin(s.request("a", "n")).Verdict, dag.VerdictRun)
}

func retryExpired(s *script) {
	s.start(compile(s.t, "retryexpired", "a", "b<a"), nil)
	s.advance(time.Hour)
	s.expire(s.run)
	s.retry(s.operator(""))
	s.wantRun("state", "running", "deadline", s.at(time.Hour), "started_at", "")
	s.wantStep("b", "fail", "")
	s.want("ready", s.finish("a"), []string{"b"})
}

func retryRemembers(s *script) {
	s.start(compile(s.t, "remember", "a"), nil)
	s.breaks("a", false)
	first := s.operator("a")
	s.retry(first)
	for i := range 15 {
		s.breaks("a", false)
		s.retry(s.operator("a"))
		s.wantStep("a", "epoch", strconv.Itoa(i+3))
	}
	s.breaks("a", false)
	s.want("the sixteenth last", s.retry(first), dag.Operated{Reply: dag.ReplyAlready, Run: dag.RunFailed})
	s.retry(s.operator("a"))
	s.breaks("a", false)
	s.want("forgotten", s.retry(first).Reply, dag.ReplyOK)
}
