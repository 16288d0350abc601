package enginetest

import (
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

func agendaScenarios() []scenario {
	return []scenario{
		{"handed over/the send becomes a doubt", handOver},
		{"handed over/of deliveries that nobody waits for", handOverStale},
		{"later/moves what is there", laterMoves},
		{"due/in order and bounded", dueInOrder},
		{"due/claims past their lease", dueClaims},
		{"due/other partitions have nothing", dueElsewhere},
		{"expire/at the deadline", expireFails},
		{"expire/not yet, not again, no run", expireRefused},
		{"expire/a scheduled run", expireScheduled},
		{"expire/a cancelling run", expireCancelling},
	}
}

func handOver(s *script) {
	s.start(compile(s.t, "handover", "a", "b"), nil)
	s.advance(100 * time.Millisecond)
	s.handedOver(s.delivery("a"), s.delivery("b"))
	s.want("agenda", len(s.state.Agenda), 1)
	s.want("doubts", s.state.Doubts, map[string]int64{s.run + ":a": s.ms(30 * time.Second), s.run + ":b": s.ms(30 * time.Second)})
	s.advance(time.Second)
	s.handedOver(s.delivery("a"))
	s.want("a doubt is not renewed", s.state.Doubts[s.run+":a"], s.ms(29*time.Second))
	s.handedOver()
}

func handOverStale(s *script) {
	s.start(compile(s.t, "handoverstale", "a"), nil)
	first := s.delivery("a")
	s.release(s.claim("a"))
	s.handedOver(first)
	s.want("an old epoch", len(s.state.Doubts), 0)
	s.want("the new send", s.state.Agenda[s.sendEntry("a")], s.ms(time.Second))
	s.handedOver(dag.Delivery{Run: dag.NewRunID(5, "00000000000000000000000ZZZ"), Step: "a", Epoch: 1})
	s.claim("a")
	s.handedOver(s.delivery("a"))
	s.want("begun meanwhile", len(s.state.Doubts), 0)
}

func laterMoves(s *script) {
	s.start(compile(s.t, "later", "a"), nil)
	s.later(s.delivery("a"), 5*time.Second)
	s.want("moved", s.state.Agenda[s.sendEntry("a")], s.ms(5*time.Second))
	other := s.delivery("a")
	other.Epoch = 2
	s.later(other, time.Second)
	s.handedOver(s.delivery("a"))
	s.later(s.delivery("a"), time.Second)
	s.want("nothing is added", len(s.state.Agenda), 1)
}

func dueInOrder(s *script) {
	s.start(compile(s.t, "due", "a", "b", "c"), func(r *dag.NewRun) { r.Timeout = 3 * time.Second })
	s.want("at once", s.due(5, 10), dag.Due{Now: s.now})
	s.later(s.delivery("a"), 2*time.Second)
	s.advance(2500 * time.Millisecond)
	due := s.due(5, 10)
	s.want("oldest first", names(due.Sends), []string{"b", "c", "a"})
	s.want("lag", due.Lag, 1500*time.Millisecond)
	s.want("now", due.Now, s.now)
	s.want("a whole send", due.Sends[0], dag.Send{
		Delivery: s.delivery("b"), Def: s.graph.Digest, Handler: "test.b", Queue: "q-b", TraceParent: "00-trace",
	})
	s.want("bounded", names(s.due(5, 2).Sends), []string{"b", "c"})
	s.advance(500 * time.Millisecond)
	s.want("the deadline", s.due(5, 10).Ends, []string{s.run})
	s.handedOver(s.delivery("a"), s.delivery("b"), s.delivery("c"))
	s.want("only the deadline", s.due(5, 10), dag.Due{Now: s.now, Ends: []string{s.run}})
}

func dueClaims(s *script) {
	s.start(compile(s.t, "dueclaims", "a", "b"), nil)
	a := s.claim("a")
	s.advance(time.Second)
	b := s.claim("b")
	s.heartbeat(dag.HeartbeatRequest{ClaimRef: a, TTL: ttl, Leaving: true})
	s.advance(ttl - time.Millisecond)
	s.want("not yet", len(s.due(5, 10).Claims), 0)
	s.advance(time.Millisecond)
	claims := s.due(5, 10).Claims
	s.want("claims", claims, []dag.DeadClaim{
		{ClaimRef: a, Workflow: "test/dueclaims", Epoch: 1, Worker: worker, Lease: s.now, Leaving: true},
		{ClaimRef: b, Workflow: "test/dueclaims", Epoch: 1, Worker: worker, Lease: s.now},
	})
	s.want("bounded", len(s.due(5, 1).Claims), 1)
	s.want("they stay until they are reissued", len(s.state.Claims), 2)
}

func dueElsewhere(s *script) {
	s.start(compile(s.t, "elsewhere", "a"), nil)
	s.want("nothing waits", s.waiting(), waiting{Clocks: dag.Partitions, Now: s.now})
	s.advance(2 * time.Hour)
	s.want("partition 5 waits", s.waiting(), waiting{Partitions: []int{5}, Clocks: dag.Partitions, Now: s.now})
	s.claim("a")
	s.start(s.graph, func(r *dag.NewRun) { r.ID, r.Timeout = dag.NewRunID(63, "0000000000000000000000000X"), 24*time.Hour })
	s.claim("a")
	s.advance(ttl)
	s.want("claims and deadlines wait", s.waiting(), waiting{Partitions: []int{5, 63}, Clocks: dag.Partitions, Now: s.now})
	s.want("partition 6", s.due(6, 10), dag.Due{Now: s.now})
	s.want("partition 5", len(s.due(5, 10).Claims)+len(s.due(5, 10).Ends), 2)
}

func expireFails(s *script) {
	s.start(compile(s.t, "expire", "queued", "running", "retrying", "ok", "pending<queued,ok"), nil)
	s.finish("ok")
	s.stumbles("retrying", 3*time.Hour)
	ref := s.claim("running")
	s.handedOver(s.delivery("queued"))
	s.advance(time.Hour)
	s.want("answer", s.expire(s.run), dag.Expired{Reply: dag.ReplyOK, Workflow: s.graph.FullName(), Run: dag.RunFailed})
	for _, step := range []string{"queued", "running", "retrying"} {
		s.wantStep(step, "state", "failed", "finished_at", s.at(0), "claim", "", "lease", "", "due", "", "epoch", "1",
			"error", text(dag.StepError{Code: "DEADLINE_EXCEEDED", Message: "the run's deadline passed while the step was " + step}))
	}
	s.wantStep("pending", "state", "", "fail", "1", "ok", "1")
	s.wantRun("state", "failed", "active", "", "completed", "1", "finished_at", s.at(0))
	s.want("agenda, claims, doubts", len(s.state.Agenda)+len(s.state.Claims)+len(s.state.Doubts), 0)
	s.want("dlq", len(s.state.DLQ), 3)
	s.want("log", s.events()[6:], []string{"failed queued", "failed running", "failed retrying", "expired"})
	got := s.complete(dag.CompleteRequest{ClaimRef: ref, Output: []byte(`1`)})
	s.want("its worker", got, dag.Settled{Reply: dag.ReplyFenced, Step: dag.StepFailed, Run: dag.RunFailed})
}

func expireRefused(s *script) {
	s.start(compile(s.t, "expirerefused", "a"), nil)
	s.advance(time.Hour - time.Millisecond)
	s.want("a millisecond early", s.expire(s.run), dag.Expired{Reply: dag.ReplyConflict, Workflow: s.graph.FullName(), Run: dag.RunRunning})
	s.finish("a")
	s.advance(time.Hour)
	s.want("ended before", s.expire(s.run), dag.Expired{Reply: dag.ReplyAlready, Workflow: s.graph.FullName(), Run: dag.RunSucceeded})
	s.want("no run", s.expire(dag.NewRunID(5, "00000000000000000000000ZZZ")), dag.Expired{Reply: dag.ReplyNoRun})
}

func expireScheduled(s *script) {
	s.start(compile(s.t, "expirescheduled", "a", "b<a"), func(r *dag.NewRun) { r.StartAt = s.now.Add(time.Hour) })
	s.advance(90 * time.Minute)
	s.want("the deadline counts from the start", s.expire(s.run).Reply, dag.ReplyConflict)
	s.advance(30 * time.Minute)
	s.want("nobody began", s.expire(s.run), dag.Expired{Reply: dag.ReplyOK, Workflow: s.graph.FullName(), Run: dag.RunFailed})
	s.wantRun("started_at", "")
	s.wantStep("a", "due", "", "state", "failed")
}

func expireCancelling(s *script) {
	s.start(compile(s.t, "expirecancelling", "a", "b", "c<a"), nil)
	s.claim("a")
	s.cancels()
	s.advance(time.Hour)
	s.want("answer", s.expire(s.run), dag.Expired{Reply: dag.ReplyOK, Workflow: s.graph.FullName(), Run: dag.RunCancelled})
	s.wantStep("a", "state", "cancelled", "error", "", "finished_at", s.at(0), "claim", "")
	s.wantStep("b", "state", "cancelled", "finished_at", s.at(-time.Hour))
	s.wantStep("c", "state", "cancelled", "fail", "")
	s.want("dlq", len(s.state.DLQ), 0)
	s.want("log", s.events()[2:], []string{"cancel_requested", "cancelled b", "cancelled a", "expired"})
}
