package enginetest

import (
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

func repairScenarios() []scenario {
	return []scenario{
		{"due/doubts", dueDoubts},
		{"look again/puts the doubt off", lookPutsOff},
		{"look again/what was seen belongs to the epoch", lookSeen},
		{"look again/nothing to look at", lookNothing},
		{"bury/fails the step", buryFails},
		{"bury/a retrying step, the last of its run", buryRetrying},
		{"bury/only if it is as it was seen", buryRaced},
		{"bury/in paused and scheduled runs", buryHeld},
		{"steps at/where they stand", stepsAtStand},
	}
}

func dueDoubts(s *script) {
	s.start(compile(s.t, "doubts", "queued", "retrying", "sent"), nil)
	s.handedOver(s.delivery("queued"))
	s.stumbles("retrying", 10*time.Second)
	s.later(s.delivery("sent"), 10*time.Minute)
	since := s.now
	s.advance(30*time.Second - time.Millisecond)
	s.want("not yet", s.due(5, 10), dag.Due{Now: s.now})
	s.want("nothing waits", s.waiting().Partitions, []int{})
	s.advance(time.Millisecond)
	s.want("waits", s.waiting().Partitions, []int{5})
	queued := dag.Doubt{
		Delivery: s.delivery("queued"), Def: s.graph.Digest, Workflow: "test/doubts", State: dag.StepQueued, Queue: "q-queued", Since: since,
	}
	s.want("queued", s.due(5, 10), dag.Due{Now: s.now, Doubts: []dag.Doubt{queued}})
	s.lookAgain(s.look("queued", 40*time.Second, true))
	queued.Seen = s.now
	s.advance(40 * time.Second)
	retrying := queued
	retrying.Delivery, retrying.State, retrying.Queue = s.delivery("retrying"), dag.StepRetrying, "q-retrying"
	retrying.Since, retrying.Seen = since.Add(10*time.Second), time.Time{}
	s.want("both, by time and name", s.due(5, 10), dag.Due{Now: s.now, Doubts: []dag.Doubt{queued, retrying}})
	s.want("bounded", s.dueWithin(5, dag.DueLimits{Entries: 10, Doubts: 1}), dag.Due{Now: s.now, Doubts: []dag.Doubt{queued}})
	s.want("not asked for", s.dueWithin(5, dag.DueLimits{Entries: 10}), dag.Due{Now: s.now})
	s.want("they stay", len(s.state.Doubts), 2)
	s.claim("queued")
	s.pauses()
	s.want("neither running nor paused", s.due(5, 10), dag.Due{Now: s.now})
}

func lookPutsOff(s *script) {
	s.start(compile(s.t, "look", "a", "b"), nil)
	s.handedOver(s.delivery("a"))
	s.stumbles("b", time.Second)
	s.advance(30 * time.Second)
	t0 := s.now
	s.lookAgain(s.look("a", 30*time.Second, true), s.look("b", time.Minute, false))
	s.want("doubts", s.state.Doubts, map[string]int64{s.run + ":a": s.ms(30 * time.Second), s.run + ":b": s.ms(time.Minute)})
	s.wantStep("a", "seen", s.at(0))
	s.wantStep("b", "seen", "")
	s.advance(30 * time.Second)
	s.lookAgain(s.look("a", time.Minute, true))
	s.wantStep("a", "seen", number(t0.UnixMilli()))
	s.want("doubt", s.state.Doubts[s.run+":a"], s.ms(time.Minute))
	s.lookAgain(s.look("a", 2*time.Minute, false))
	s.wantStep("a", "seen", "", "state", "queued", "epoch", "1")
	s.want("doubt", s.state.Doubts[s.run+":a"], s.ms(2*time.Minute))
	s.lookAgain()
	s.want("log", len(s.events()), 3)
}

func lookSeen(s *script) {
	s.start(compile(s.t, "seen", "a"), nil)
	seen := func() {
		s.t.Helper()
		s.handedOver(s.delivery("a"))
		s.lookAgain(s.look("a", time.Minute, true))
		s.wantStep("a", "seen", s.at(0))
	}
	seen()
	ref := s.claim("a")
	s.wantStep("a", "seen", "")
	s.release(ref)
	seen()
	s.reissue(s.asSeen("a", false, 0))
	s.wantStep("a", "seen", "", "epoch", "3")
	s.stumbles("a", 0)
	s.lookAgain(s.look("a", time.Minute, true))
	s.wantStep("a", "seen", s.at(0), "state", "retrying")
	s.retry(s.operator("a"))
	s.wantStep("a", "seen", "")
	seen()
	s.bury(s.archived("a"))
	s.wantStep("a", "seen", "", "state", "failed")
}

func lookNothing(s *script) {
	s.start(compile(s.t, "looknothing", "sent", "old", "running"), nil)
	s.handedOver(s.delivery("old"), s.delivery("running"))
	old := s.look("old", time.Hour, true)
	s.reissue(s.asSeen("old", false, 0))
	s.handedOver(s.delivery("old"))
	s.claim("running")
	before := s.state
	gone := old
	gone.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
	unknown := old
	unknown.Step = "x"
	s.lookAgain(s.look("sent", time.Hour, true), old, s.look("running", time.Hour, true), gone, unknown)
	s.want("state", s.state, before)
}

func buryFails(s *script) {
	s.start(compile(s.t, "bury", "a", "b<a", "c"), nil)
	s.handedOver(s.delivery("a"))
	s.lookAgain(s.look("a", time.Minute, true))
	s.advance(time.Minute)
	req := s.archived("a")
	s.want("answer", s.bury(req), dag.Settled{Reply: dag.ReplyOK, Step: dag.StepFailed, Run: dag.RunRunning})
	s.want("step", s.step("a"), Fields{
		"state": "failed", "epoch": "1", "queued_at": s.at(-time.Minute), "finished_at": s.at(0),
		"error": text(dag.StepError{Code: "ARCHIVED", Message: "a person archived its task"}),
	})
	s.wantStep("b", "fail", "1", "state", "")
	s.wantRun("active", "1")
	s.want("doubts", len(s.state.Doubts), 0)
	s.want("dlq", s.state.DLQ, map[string]int64{s.run + ":a": s.ms(0)})
	s.want("log", s.lastLine(), text([]any{s.ms(0), "failed", "a", 1, 0, "", "ARCHIVED", "a person archived its task"}))
	s.want("its task", s.begin(s.request("a", "n")), dag.Begun{Verdict: dag.VerdictFailed})
	s.finish("c")
	s.wantRun("state", "failed")
	s.retry(s.operator("a"))
	s.want("ready", s.finish("a"), []string{"b"})
}

func buryRetrying(s *script) {
	s.start(compile(s.t, "buryretrying", "a"), func(r *dag.NewRun) { r.KeepFailed = time.Hour })
	s.stumbles("a", time.Hour)
	s.want("answer", s.bury(s.archived("a")), dag.Settled{Reply: dag.ReplyOK, Step: dag.StepFailed, Run: dag.RunFailed})
	s.wantStep("a", "due", "", "failures", "1", "attempts", "1", "worker", worker)
	s.want("agenda and doubts", []any{s.state.Agenda, len(s.state.Doubts)}, []any{map[string]int64{"purge:" + s.run: s.ms(time.Hour)}, 0})
	s.want("log", s.events()[2:], []string{"retrying a", "failed a", "run_failed"})
	// A step with a send is buried as well.
	s.start(compile(s.t, "burysent", "a"), nil)
	s.want("answer", s.bury(s.archived("a")).Run, dag.RunFailed)
	s.want("agenda", len(s.state.Agenda), 1)
}

func buryRaced(s *script) {
	s.start(compile(s.t, "buryraced", "a", "b<a"), nil)
	raced := func(what string, req dag.BuryRequest, step dag.StepState) {
		s.t.Helper()
		before := s.state
		s.want(what, s.bury(req), dag.Settled{Reply: dag.ReplyRaced, Step: step, Run: dag.RunRunning})
		s.want(what+": state", s.state, before)
	}
	seen := s.archived("a")
	other := seen
	other.State = dag.StepRetrying
	raced("another state", other, dag.StepQueued)
	other = seen
	other.Epoch++
	raced("another epoch", other, dag.StepQueued)
	raced("pending", s.archived("b"), dag.StepPending)
	ref := s.claim("a")
	raced("begun", seen, dag.StepRunning)
	raced("running", s.archived("a"), dag.StepRunning)
	s.complete(dag.CompleteRequest{ClaimRef: ref, Output: []byte(`1`)})
	raced("succeeded", s.archived("a"), dag.StepSucceeded)
	seen.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
	s.want("no run", s.bury(seen), dag.Settled{Reply: dag.ReplyRaced})
}

func buryHeld(s *script) {
	s.start(compile(s.t, "burypaused", "a", "b"), nil)
	s.pauses()
	s.want("paused", s.bury(s.archived("a")), dag.Settled{Reply: dag.ReplyOK, Step: dag.StepFailed, Run: dag.RunPaused})
	s.bury(s.archived("b"))
	s.wantRun("state", "failed", "remaining", "")
	s.start(compile(s.t, "buryscheduled", "a"), func(r *dag.NewRun) { r.StartAt = s.now.Add(time.Hour) })
	s.want("scheduled", s.bury(s.archived("a")).Run, dag.RunFailed)
	s.want("agenda", len(s.state.Agenda), 0)
}

func stepsAtStand(s *script) {
	s.start(compile(s.t, "stepsat", "a", "b<a"), nil)
	old := s.delivery("a")
	s.release(s.claim("a"))
	pending := s.delivery("b")
	unknown := dag.Delivery{Run: s.run, Step: "x", Epoch: 1}
	gone := dag.Delivery{Run: dag.NewRunID(6, "00000000000000000000000ZZZ"), Step: "a", Epoch: 1}
	s.want("steps", s.stepsAt(pending, old, gone, unknown), []dag.StepAt{
		{Delivery: pending, State: dag.StepPending},
		{Delivery: old, State: dag.StepQueued, At: 2},
		{Delivery: gone},
		{Delivery: unknown, State: dag.StepPending},
	})
	s.want("none", len(s.stepsAt()), 0)
}
