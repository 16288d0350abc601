package enginetest

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

func holdScenarios() []scenario {
	return []scenario{
		{"pause/nothing begins, what runs goes on", pauseHolds},
		{"pause/its last step ends it", pauseEnds},
		{"pause/a late run has no time left", pauseLate},
		{"pause/only a running run", pauseConflicts},
		{"resume/everything is issued anew", resumeIssues},
		{"resume/only a paused run", resumeConflicts},
		{"cancel/nothing runs", cancelAtOnce},
		{"cancel/running steps are told", cancelTells},
		{"cancel/a scheduled run", cancelScheduled},
		{"cancel/a paused run gets its deadline back", cancelPaused},
		{"cancel/only an open run", cancelConflicts},
		{"expire/a paused run has no deadline", expirePaused},
	}
}

// held is a run with a step in each state: sent, handed, retrying, running, then pending.
func (s *script) held(name string) (running dag.ClaimRef) {
	s.t.Helper()
	s.start(compile(s.t, name, "sent", "handed", "retrying", "running", "then<running"), nil)
	s.handedOver(s.delivery("handed"))
	s.lookAgain(s.look("handed", time.Minute, true))
	s.stumbles("retrying", 3*time.Hour)
	s.advance(time.Second)
	return s.claim("running")
}

func pauseHolds(s *script) {
	ref := s.held("pause")
	s.want("answer", s.pause(s.operator("")), dag.Operated{Reply: dag.ReplyOK, Run: dag.RunPaused})
	s.wantRun("state", "paused", "active", "4", "deadline", "", "remaining", number((time.Hour - time.Second).Milliseconds()))
	s.want("index", s.state.Index["state:paused"], map[string]int64{s.run: s.ms(-time.Second)})
	s.want("agenda and doubts", len(s.state.Agenda)+len(s.state.Doubts), 0)
	s.wantStep("handed", "seen", "", "state", "queued", "epoch", "1")
	s.wantStep("retrying", "state", "retrying", "due", s.at(3*time.Hour-time.Second))
	s.want("log", s.lastLine(), text([]any{s.ms(0), "paused", "", 0, 0, "", "", "the provider is back", "ann"}))
	for _, step := range []string{"sent", "handed", "retrying"} {
		s.want(step, s.begin(s.request(step, "n")), dag.Begun{Verdict: dag.VerdictParked})
	}
	s.want("goes on", s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl}), dag.Beat{Run: dag.RunPaused})
	got := s.complete(dag.CompleteRequest{ClaimRef: ref, Output: json.RawMessage(`1`)})
	s.want("ready, not sent", got, dag.Settled{Reply: dag.ReplyOK, Step: dag.StepSucceeded, Run: dag.RunPaused})
	s.wantStep("then", "state", "queued", "epoch", "1")
	s.handedOver(s.delivery("sent"))
	s.later(s.delivery("sent"), time.Second)
	s.lookAgain(s.look("handed", time.Second, true))
	s.want("agenda and doubts", len(s.state.Agenda)+len(s.state.Doubts), 0)
	s.advance(24 * time.Hour)
	s.want("nothing waits", s.waiting().Partitions, []int{})
	s.want("nothing is due", s.due(5, 10), dag.Due{Now: s.now})
}

func pauseEnds(s *script) {
	s.start(compile(s.t, "pauseends", "a"), func(r *dag.NewRun) { r.KeepFailed = time.Hour })
	ref := s.claim("a")
	s.pauses()
	s.fail(dag.FailRequest{ClaimRef: ref, Error: dag.StepError{Code: "X"}})
	s.wantRun("state", "failed", "remaining", "", "deadline", "", "finished_at", s.at(0))
	s.want("agenda", s.state.Agenda, map[string]int64{"purge:" + s.run: s.ms(time.Hour)})
	s.retry(s.operator("a"))
	s.wantRun("state", "running", "deadline", s.at(time.Hour))
}

func pauseLate(s *script) {
	s.start(compile(s.t, "pauselate", "a"), nil)
	s.advance(2 * time.Hour)
	s.pauses()
	s.wantRun("remaining", "1")
	s.advance(time.Hour)
	s.resume(s.operator(""))
	s.wantRun("deadline", s.at(time.Millisecond), "remaining", "")
	s.advance(time.Millisecond)
	s.want("ends", s.expire(s.run).Run, dag.RunFailed)
}

// everyRun starts a run of one step a in each state that a run can be in, and calls do with it.
func (s *script) everyRun(do func(state dag.RunState)) {
	s.t.Helper()
	g := compile(s.t, "every", "a")
	for _, state := range dag.AllRunStates() {
		if state == dag.RunCompensating || state == dag.RunCompensated {
			continue // no verb leads there yet
		}
		s.start(g, func(r *dag.NewRun) {
			if state == dag.RunScheduled {
				r.StartAt = s.now.Add(time.Hour)
			}
		})
		switch state {
		case dag.RunPaused:
			s.pauses()
		case dag.RunSucceeded:
			s.finish("a")
		case dag.RunFailed:
			s.breaks("a", false)
		case dag.RunCancelling:
			s.claim("a")
			s.cancels()
		case dag.RunCancelled:
			s.cancels()
		default:
		}
		s.wantRun("state", string(state))
		do(state)
	}
}

// wantOnly asks for a verb in every state of a run; it fits only in some.
func (s *script) wantOnly(verb func(dag.OperatorRequest) dag.Operated, in ...dag.RunState) {
	s.t.Helper()
	s.everyRun(func(state dag.RunState) {
		if slices.Contains(in, state) {
			s.want(string(state), verb(s.operator("")).Reply, dag.ReplyOK)
			return
		}
		s.refuses(string(state), verb, s.operator("a"), dag.Operated{Run: state})
	})
	gone := s.operator("")
	gone.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
	s.want("no run", verb(gone), dag.Operated{Reply: dag.ReplyNoRun})
}

func pauseConflicts(s *script)  { s.wantOnly(s.pause, dag.RunRunning) }
func resumeConflicts(s *script) { s.wantOnly(s.resume, dag.RunPaused) }
func cancelConflicts(s *script) {
	s.wantOnly(s.cancel, dag.RunScheduled, dag.RunRunning, dag.RunPaused)
}

func resumeIssues(s *script) {
	ref := s.held("resume")
	req := s.operator("")
	s.pauses()
	s.complete(dag.CompleteRequest{ClaimRef: ref, Output: json.RawMessage(`1`)})
	s.advance(2 * time.Hour)
	got := s.resume(req)
	s.want("answer", got, dag.Operated{
		Reply: dag.ReplyOK, Run: dag.RunRunning, Sends: []dag.Send{s.send("sent", 2), s.send("handed", 2), s.send("then", 2)},
	})
	due := time.Hour - time.Second
	s.wantStep("retrying", "state", "queued", "epoch", "2", "due", s.at(due), "failures", "1", "queued_at", s.at(0))
	s.wantStep("then", "state", "queued", "epoch", "2", "due", "")
	s.wantRun("state", "running", "deadline", s.at(time.Hour-time.Second), "remaining", "", "active", "4")
	s.want("agenda", s.state.Agenda, map[string]int64{
		"end:" + s.run: s.ms(time.Hour - time.Second), s.sendEntry("retrying"): s.ms(due),
		s.sendEntry("sent"): s.ms(time.Second), s.sendEntry("handed"): s.ms(time.Second), s.sendEntry("then"): s.ms(time.Second),
	})
	s.want("doubts", len(s.state.Doubts), 0)
	s.want("log", s.events()[6:], []string{"resumed", "reissued sent", "reissued handed", "reissued retrying", "reissued then"})
	s.want("again", s.resume(req), dag.Operated{Reply: dag.ReplyAlready, Run: dag.RunRunning})
	// Another pause counts from there.
	s.advance(time.Minute)
	s.pauses()
	s.wantRun("remaining", number((59*time.Minute - time.Second).Milliseconds()))
}

func cancelAtOnce(s *script) {
	s.start(compile(s.t, "cancel", "sent", "handed", "retrying", "ok", "broken", "pending<ok,broken", "last<pending"), func(r *dag.NewRun) {
		r.Keep, r.KeepFailed = time.Minute, time.Hour
	})
	s.handedOver(s.delivery("handed"))
	s.lookAgain(s.look("handed", time.Minute, true))
	s.stumbles("retrying", time.Hour)
	s.finish("ok")
	s.breaks("broken", false)
	s.advance(time.Second)
	got := s.cancel(s.operator(""))
	s.want("answer", got, dag.Operated{Reply: dag.ReplyOK, Run: dag.RunCancelled, Stale: []dag.Delivery{
		{Run: s.run, Step: "sent", Epoch: 1}, {Run: s.run, Step: "handed", Epoch: 1}, {Run: s.run, Step: "retrying", Epoch: 1},
	}})
	s.want("queued", s.step("handed"), Fields{"state": "cancelled", "epoch": "1", "queued_at": s.at(-time.Second), "finished_at": s.at(0)})
	s.wantStep("retrying", "state", "cancelled", "due", "", "failures", "1", "finished_at", s.at(0),
		"error", text(dag.StepError{Code: "SLOW", Message: "try later", Retryable: true}))
	s.want("pending", s.step("pending"), Fields{"state": "cancelled", "finished_at": s.at(0), "ok": "1", "fail": "1"})
	s.want("pending", s.step("last"), Fields{"state": "cancelled", "finished_at": s.at(0)})
	s.wantStep("ok", "state", "succeeded")
	s.wantStep("broken", "state", "failed")
	s.wantRun("state", "cancelled", "active", "", "completed", "1", "finished_at", s.at(0))
	s.want("agenda", s.state.Agenda, map[string]int64{"purge:" + s.run: s.ms(time.Minute)})
	s.want("doubts", len(s.state.Doubts), 0)
	s.want("dlq", len(s.state.DLQ), 0)
	s.want("index", s.state.Index["state:cancelled"], map[string]int64{s.run: s.ms(-time.Second)})
	s.want("log", s.events()[7:], []string{"cancel_requested", "cancelled sent", "cancelled handed", "cancelled retrying", "run_cancelled"})
	line := s.state.Logs[s.run][7]
	s.want("log", line, text([]any{s.ms(0), "cancel_requested", "", 0, 0, "", "", "the provider is back", "ann"}))
	s.want("a task", s.begin(s.request("sent", "n")), dag.Begun{Verdict: dag.VerdictDone})
}

func cancelTells(s *script) {
	ref := s.held("canceltells")
	got := s.cancel(s.operator(""))
	s.want("answer", got, dag.Operated{Reply: dag.ReplyOK, Run: dag.RunCancelling, Stale: []dag.Delivery{
		{Run: s.run, Step: "sent", Epoch: 1}, {Run: s.run, Step: "handed", Epoch: 1}, {Run: s.run, Step: "retrying", Epoch: 1},
	}})
	s.wantRun("state", "cancelling", "active", "1", "finished_at", "")
	s.want("agenda", len(s.state.Agenda), 1)
	s.want("index", s.state.Index["state:cancelling"], map[string]int64{s.run: s.ms(-time.Second)})
	s.want("told", s.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl}), dag.Beat{Run: dag.RunCancelling})
	s.refuses("again", s.cancel, s.operator(""), dag.Operated{Run: dag.RunCancelling})
	s.release(ref)
	s.wantRun("state", "cancelled")
}

func cancelScheduled(s *script) {
	s.start(compile(s.t, "cancelscheduled", "a", "b<a"), func(r *dag.NewRun) { r.StartAt = s.now.Add(time.Hour) })
	got := s.cancel(s.operator(""))
	s.want("answer", got, dag.Operated{Reply: dag.ReplyOK, Run: dag.RunCancelled, Stale: []dag.Delivery{{Run: s.run, Step: "a", Epoch: 1}}})
	s.wantStep("a", "due", "", "state", "cancelled")
	s.want("agenda", len(s.state.Agenda), 0)
	s.want("key", s.create2(), dag.RunCancelled)
}

// create2 starts the run of the script once more by its ID and returns where it stands: nothing is queued again.
func (s *script) create2() dag.RunState {
	s.t.Helper()
	created, err := s.create(dag.NewRun{ID: s.run, Graph: s.graph, Input: json.RawMessage(`{"cart":[1.0,2]}`), Timeout: time.Hour})
	s.want("the same run", []any{created, err}, []any{dag.Created{ID: s.run}, nil})
	return dag.RunState(s.state.Runs[s.run]["state"])
}

func cancelPaused(s *script) {
	s.start(compile(s.t, "cancelpaused", "a", "b", "c<a"), nil)
	ref := s.claim("a")
	s.advance(time.Minute)
	s.pauses()
	s.advance(2 * time.Hour)
	got := s.cancel(s.operator(""))
	s.want("answer", got, dag.Operated{Reply: dag.ReplyOK, Run: dag.RunCancelling, Stale: []dag.Delivery{{Run: s.run, Step: "b", Epoch: 1}}})
	s.wantRun("deadline", s.at(59*time.Minute), "remaining", "")
	s.want("agenda", s.state.Agenda, map[string]int64{"end:" + s.run: s.ms(59 * time.Minute)})
	s.complete(dag.CompleteRequest{ClaimRef: ref, Output: json.RawMessage(`1`)})
	s.wantRun("state", "cancelled")
	s.wantStep("c", "ok", "1")
	// Nothing runs.
	s.start(compile(s.t, "cancelpaused1", "a"), nil)
	s.pauses()
	s.want("at once", s.cancel(s.operator("")).Run, dag.RunCancelled)
	s.wantRun("deadline", s.at(time.Hour), "remaining", "")
	s.want("agenda", len(s.state.Agenda), 0)
}

func expirePaused(s *script) {
	s.start(compile(s.t, "expirepaused", "a"), func(r *dag.NewRun) { r.Keep, r.KeepFailed = time.Minute, time.Hour })
	s.pauses()
	s.advance(2 * time.Hour)
	s.want("paused", s.expire(s.run), dag.Expired{Reply: dag.ReplyConflict, Workflow: s.graph.FullName(), Run: dag.RunPaused})
	s.resume(s.operator(""))
	s.handedOver(s.delivery("a"))
	s.lookAgain(s.look("a", time.Minute, true))
	s.advance(time.Hour)
	s.want("resumed", s.expire(s.run).Run, dag.RunFailed)
	s.wantStep("a", "seen", "", "state", "failed")
	s.want("agenda and doubts", []any{s.state.Agenda, len(s.state.Doubts)}, []any{map[string]int64{"purge:" + s.run: s.ms(time.Hour)}, 0})
}
