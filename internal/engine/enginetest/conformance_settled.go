package enginetest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

func settledScenarios() []scenario {
	return []scenario{
		{"skip/a failed step opens its run", skipFailed},
		{"skip/queued and retrying steps", skipIdle},
		{"skip/one failed parent of two", skipOneOfTwo},
		{"skip/the last step", skipLast},
		{"skip/in a paused run", skipPaused},
		{"skip/in a scheduled run", skipScheduled},
		{"skip/what cannot be settled", skipConflicts},
		{"skip/answers that come too late", skipLate},
		{"resolve/gives the output", resolveGives},
		{"resolve/too big", resolveTooBig},
		{"resolve/poison", resolvePoison},
		{"resolve/what cannot be settled", resolveConflicts},
	}
}

func skipFailed(s *script) {
	s.start(compile(s.t, "skip", "a", "b<a", "c<b"), func(r *dag.NewRun) { r.KeepFailed = time.Hour })
	s.breaks("a", false)
	s.want("kept", s.state.Agenda, map[string]int64{"purge:" + s.run: s.ms(time.Hour)})
	s.advance(time.Minute)
	old := s.delivery("a")
	got := s.skip(s.operator("a"))
	s.want("answer", got, dag.Operated{
		Reply: dag.ReplyOK, Run: dag.RunRunning, Stale: []dag.Delivery{old}, Sends: []dag.Send{s.send("b", 1)},
	})
	s.want("step", s.step("a"), Fields{
		"state": "skipped", "epoch": "1", "attempts": "1", "worker": worker,
		"queued_at": s.at(-time.Minute), "started_at": s.at(-time.Minute), "finished_at": s.at(0),
	})
	s.want("child", s.step("b"), Fields{"state": "queued", "epoch": "1", "queued_at": s.at(0), "skip": "1"})
	s.wantRun("state", "running", "active", "1", "completed", "1", "finished_at", "", "deadline", s.at(time.Hour))
	s.want("agenda", s.state.Agenda, map[string]int64{"end:" + s.run: s.ms(time.Hour), s.sendEntry("b"): s.ms(time.Second)})
	s.want("dlq", len(s.state.DLQ), 0)
	s.want("index", s.state.Index["state:running"], map[string]int64{s.run: s.ms(-time.Minute)})
	s.want("log", s.lastLine(), text([]any{s.ms(0), "skipped", "a", 1, 1, worker, "", "the provider is back", "ann"}))
	s.want("no output", s.begin(s.request("b", "n")).Claim.Outputs, map[string]json.RawMessage{})
	s.complete(dag.CompleteRequest{ClaimRef: s.ref("b", "n"), Output: json.RawMessage(`1`)})
	s.finish("c")
	s.wantRun("state", "succeeded", "completed", "3")
}

func skipIdle(s *script) {
	s.start(compile(s.t, "skipidle", "sent", "handed", "retrying", "last<sent,handed,retrying"), nil)
	s.handedOver(s.delivery("handed"))
	s.lookAgain(s.look("handed", time.Minute, true))
	s.stumbles("retrying", time.Hour)
	for _, step := range []string{"sent", "handed"} {
		got := s.skip(s.operator(step))
		s.want(step, got, dag.Operated{Reply: dag.ReplyOK, Run: dag.RunRunning, Stale: []dag.Delivery{{Run: s.run, Step: step, Epoch: 1}}})
		s.want(step, s.step(step), Fields{"state": "skipped", "epoch": "1", "queued_at": s.at(0), "finished_at": s.at(0)})
		s.want("its task", s.begin(s.request(step, "n")).Verdict, dag.VerdictDone)
	}
	s.wantRun("active", "1", "completed", "2")
	got := s.skip(s.operator("retrying"))
	s.want("ready", names(got.Sends), []string{"last"})
	s.wantStep("retrying", "state", "skipped", "due", "", "error", "", "failures", "", "attempts", "1")
	s.wantStep("last", "skip", "3")
	s.want("doubts", len(s.state.Doubts), 0)
	s.want("agenda", len(s.state.Agenda), 2)
	s.want("log", s.events()[3:], []string{"skipped sent", "skipped handed", "skipped retrying"})
}

func skipOneOfTwo(s *script) {
	s.start(compile(s.t, "skiptwo", "a", "b", "c<a,b"), func(r *dag.NewRun) { r.KeepFailed = time.Minute })
	s.breaks("a", false)
	s.breaks("b", false)
	s.advance(time.Second)
	got := s.skip(s.operator("a"))
	s.want("ended again", got, dag.Operated{Reply: dag.ReplyOK, Run: dag.RunFailed, Stale: []dag.Delivery{{Run: s.run, Step: "a", Epoch: 1}}})
	s.wantStep("c", "state", "", "skip", "1", "fail", "1")
	s.wantRun("finished_at", s.at(0), "active", "", "deadline", s.at(time.Hour))
	s.want("kept from now on", s.state.Agenda, map[string]int64{"purge:" + s.run: s.ms(time.Minute)})
	s.want("log", s.events()[6:], []string{"skipped a", "run_failed"})
	got = s.resolve(s.resolving("b", `2`))
	s.want("both", names(got.Sends), []string{"c"})
	s.wantStep("c", "skip", "1", "ok", "1", "fail", "")
	s.want("outputs", s.begin(s.request("c", "n")).Claim.Outputs, map[string]json.RawMessage{"b": json.RawMessage(`2`)})
}

func skipLast(s *script) {
	s.start(compile(s.t, "skiplast", "a", "b<a"), func(r *dag.NewRun) { r.Keep, r.KeepFailed = time.Hour, time.Minute })
	s.finish("a")
	s.breaks("b", false)
	s.advance(time.Second)
	got := s.skip(s.operator("b"))
	s.want("answer", got, dag.Operated{Reply: dag.ReplyOK, Run: dag.RunSucceeded, Stale: []dag.Delivery{{Run: s.run, Step: "b", Epoch: 1}}})
	s.wantRun("state", "succeeded", "completed", "2", "finished_at", s.at(0))
	s.want("agenda", s.state.Agenda, map[string]int64{"purge:" + s.run: s.ms(time.Hour)})
	s.want("log", s.events()[6:], []string{"skipped b", "run_succeeded"})
}

func skipPaused(s *script) {
	s.start(compile(s.t, "skippaused", "a", "b<a"), nil)
	s.pauses()
	got := s.skip(s.operator("a"))
	s.want("answer", got, dag.Operated{Reply: dag.ReplyOK, Run: dag.RunPaused, Stale: []dag.Delivery{{Run: s.run, Step: "a", Epoch: 1}}})
	s.wantStep("b", "state", "queued", "epoch", "1")
	s.want("agenda", len(s.state.Agenda), 0)
	s.resolve(s.resolving("b", `1`))
	s.wantRun("state", "succeeded", "remaining", "", "deadline", "")
}

func skipScheduled(s *script) {
	s.start(compile(s.t, "skipscheduled", "a", "b<a"), func(r *dag.NewRun) { r.StartAt = s.now.Add(time.Hour) })
	got := s.skip(s.operator("a"))
	s.want("answer", got, dag.Operated{
		Reply: dag.ReplyOK, Run: dag.RunScheduled, Stale: []dag.Delivery{{Run: s.run, Step: "a", Epoch: 1}}, Sends: []dag.Send{s.send("b", 1)},
	})
	s.wantStep("a", "due", "")
	s.wantStep("b", "due", "")
	s.want("agenda", s.state.Agenda, map[string]int64{"end:" + s.run: s.ms(2 * time.Hour), s.sendEntry("b"): s.ms(time.Second)})
	s.skip(s.operator("b"))
	s.wantRun("state", "succeeded", "started_at", "")
}

// refuses asks for a verb that does not fit: the answer says why, and nothing changes.
func (s *script) refuses(what string, got func(dag.OperatorRequest) dag.Operated, req dag.OperatorRequest, want dag.Operated) {
	s.t.Helper()
	before := s.state
	want.Reply = dag.ReplyConflict
	s.want(what, got(req), want)
	s.want(what+": state", s.state, before)
}

func skipConflicts(s *script)    { settleConflicts(s, s.skip) }
func resolveConflicts(s *script) { settleConflicts(s, s.resolve) }

func settleConflicts(s *script, verb func(dag.OperatorRequest) dag.Operated) {
	s.start(compile(s.t, "conflicts", "a", "b<a", "c", "d"), nil)
	s.finish("c")
	s.breaks("d", false)
	ref := s.claim("a")
	running := func(step dag.StepState) dag.Operated { return dag.Operated{Run: dag.RunRunning, Step: step} }
	s.refuses("running", verb, s.operator("a"), running(dag.StepRunning))
	s.refuses("pending", verb, s.operator("b"), running(dag.StepPending))
	s.refuses("succeeded", verb, s.operator("c"), running(dag.StepSucceeded))
	s.refuses("no such step", verb, s.operator("x"), running(""))
	s.refuses("no step", verb, s.operator(""), running(""))
	s.cancels()
	s.refuses("cancelling", verb, s.operator("d"), dag.Operated{Run: dag.RunCancelling, Step: dag.StepFailed})
	s.refuses("cancelled step", verb, s.operator("b"), dag.Operated{Run: dag.RunCancelling, Step: dag.StepCancelled})
	s.release(ref)
	s.refuses("cancelled", verb, s.operator("d"), dag.Operated{Run: dag.RunCancelled, Step: dag.StepFailed})
	gone := s.operator("a")
	gone.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
	s.want("no run", verb(gone), dag.Operated{Reply: dag.ReplyNoRun})
	s.start(compile(s.t, "conflicts1", "a"), nil)
	first := s.operator("a")
	first.Output = json.RawMessage(`1`)
	s.want("ends it", verb(first).Run, dag.RunSucceeded)
	s.want("again", verb(first), dag.Operated{Reply: dag.ReplyAlready, Run: dag.RunSucceeded})
	s.refuses("succeeded run", verb, s.operator("a"), dag.Operated{Run: dag.RunSucceeded, Step: s.step("a").step()})
}

func skipLate(s *script) {
	s.start(compile(s.t, "skiplate", "a", "b"), nil)
	old, _ := s.stumbles("a", time.Hour)
	s.skip(s.operator("a"))
	fenced := dag.Settled{Reply: dag.ReplyFenced, Step: dag.StepSkipped, Run: dag.RunRunning}
	s.want("fail again", s.fail(dag.FailRequest{ClaimRef: old}), fenced)
	dead, _ := s.dies("b")
	s.skip(s.operator("b"))
	s.wantStep("b", "dead", "", "crashes", "", "attempts", "1")
	before := s.state
	s.want("declared dead", s.heartbeat(dag.HeartbeatRequest{ClaimRef: dead, TTL: ttl}), dag.Beat{Lost: true, Run: dag.RunSucceeded})
	s.want("state", s.state, before)
	s.want("reissue", s.reissue(s.asSeen("b", false, 0)).Reply, dag.ReplyRaced)
}

// resolving asks to resolve a step with an output.
func (s *script) resolving(step, output string) dag.OperatorRequest {
	req := s.operator(step)
	req.Output = json.RawMessage(output)
	return req
}

func resolveGives(s *script) {
	s.start(compile(s.t, "resolve", "a", "b<a"), nil)
	s.breaks("a", true)
	const output = ` {"total":10.00}`
	got := s.resolve(s.resolving("a", output))
	s.want("answer", got, dag.Operated{
		Reply: dag.ReplyOK, Run: dag.RunRunning, Stale: []dag.Delivery{{Run: s.run, Step: "a", Epoch: 1}}, Sends: []dag.Send{s.send("b", 1)},
	})
	s.want("step", s.step("a"), Fields{
		"state": "succeeded", "epoch": "1", "attempts": "1", "worker": worker,
		"queued_at": s.at(0), "started_at": s.at(0), "finished_at": s.at(0),
	})
	s.wantStep("b", "ok", "1", "fail", "")
	s.wantRun("completed", "1", "bytes", number(16+len(output)))
	s.want("log", s.lastLine(), text([]any{s.ms(0), "resolved", "a", 1, 1, worker, "", "the provider is back", "ann"}))
	s.want("for the child", string(s.begin(s.request("b", "n")).Claim.Outputs["a"]), output)
	s.complete(dag.CompleteRequest{ClaimRef: s.ref("b", "n"), Output: json.RawMessage(`1`)})
	s.wantRun("state", "succeeded")
}

func resolveTooBig(s *script) {
	s.start(compile(s.t, "resolvebig", "a", "b<a"), nil)
	s.breaks("a", false)
	room := dag.MaxRunBytes - int(s.state.Runs[s.run].number("bytes"))
	before := s.state
	got := s.resolve(s.resolving("a", strings.Repeat("1", room+1)))
	s.want("a byte too many", got, dag.Operated{Reply: dag.ReplyTooBig, Run: dag.RunFailed, Step: dag.StepFailed})
	s.want("state", s.state, before)
	s.want("exactly full", s.resolve(s.resolving("a", strings.Repeat("1", room))).Reply, dag.ReplyOK)
	s.wantRun("bytes", number(dag.MaxRunBytes))
}

func resolvePoison(s *script) {
	s.start(compile(s.t, "resolvepoison", "a"), nil)
	var last dag.ClaimRef
	for range 3 {
		last, _ = s.dies("a")
	}
	s.resolve(s.resolving("a", `1`))
	s.wantStep("a", "crashes", "", "dead", "", "error", "", "attempts", "3", "epoch", "3", "state", "succeeded")
	s.want("wakes up", s.complete(dag.CompleteRequest{ClaimRef: last, Output: json.RawMessage(`2`)}),
		dag.Settled{Reply: dag.ReplyFenced, Step: dag.StepSucceeded, Run: dag.RunSucceeded})
	s.want("output", s.state.Outputs[s.run]["a"], "1")
}
