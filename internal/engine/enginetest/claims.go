package enginetest

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/stepwell/stepwell/pkg/dag"
)

// earliness is how long before it is due a step may be begun: asynq's times are whole seconds. In ms.
const earliness = 1000

const (
	taskGrace = 60_000  // how long after a retry is due its task may still be on its way; in ms
	firstLook = 120_000 // after which a retrying step is looked after at the latest, due or not; in ms
)

// Begin claims a queued or retrying step. The tests come in an order that gives a task which is of no use any more its final answer, and
// only then asks another to wait. It never takes a claim over: only [Memory.Reissue] declares one dead.
func (m *Memory) Begin(_ context.Context, req dag.BeginRequest) (dag.Begun, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.open(req.Run)
	if !ok {
		return dag.Begun{Verdict: dag.VerdictNoRun}, nil
	}
	s := c.step(req.Step)
	switch {
	case s.state == dag.StepPending || s.epoch != req.Epoch || c.run.graph.Digest != req.Def:
		return dag.Begun{Verdict: dag.VerdictStale}, nil
	case s.state == dag.StepSucceeded || s.state == dag.StepSkipped || s.state == dag.StepCancelled:
		return dag.Begun{Verdict: dag.VerdictDone}, nil
	case s.state == dag.StepFailed:
		return dag.Begun{Verdict: dag.VerdictFailed}, nil
	case s.holds(req.Nonce):
		return dag.Begun{Verdict: dag.VerdictRun, Claim: c.claim(s)}, nil
	case s.done == req.Nonce: // a late copy of a begin whose attempt is over
		return dag.Begun{Verdict: dag.VerdictStale}, nil
	case s.state == dag.StepRunning || s.state == dag.StepWaiting:
		return dag.Begun{Verdict: dag.VerdictBusy, Wait: milliseconds(max(0, s.lease-c.now))}, nil
	case c.run.state != dag.RunScheduled && c.run.state != dag.RunRunning:
		return dag.Begun{Verdict: dag.VerdictParked}, nil
	case s.due > c.now+earliness:
		return dag.Begun{Verdict: dag.VerdictBusy, Wait: milliseconds(s.due - c.now)}, nil
	case s.crashes >= dag.MaxCrashes-1 && !req.Alone:
		return dag.Begun{Verdict: dag.VerdictAlone}, nil
	}
	c.begin(s, &req)
	return dag.Begun{Verdict: dag.VerdictRun, Claim: c.claim(s)}, nil
}

func (c *change) begin(s *step, req *dag.BeginRequest) {
	c.unsend(s)
	s.state, s.claim, s.lease, s.leaving = dag.StepRunning, req.Nonce, c.now+req.TTL.Milliseconds(), false
	s.startedAt, s.worker, s.due, s.seen = c.now, req.Worker, 0, 0
	s.attempts++
	c.claims[c.member(s)] = s.lease
	if c.run.startedAt == 0 {
		c.run.startedAt = c.now
	}
	if c.run.state == dag.RunScheduled {
		c.run.state = dag.RunRunning
	}
	c.log("begun", s)
}

// claim is all that a handler needs.
func (c *change) claim(s *step) dag.Claim {
	r, n := c.run, s.node
	outputs := map[string]json.RawMessage{}
	for _, parent := range n.Parents {
		if p := c.step(parent); p.state == dag.StepSucceeded {
			outputs[parent] = p.output
		}
	}
	return dag.Claim{
		ClaimRef: dag.ClaimRef{Run: r.id, Step: n.Name, Def: r.graph.Digest, Nonce: s.claim},
		Epoch:    s.epoch, Worker: s.worker, Workflow: r.graph.FullName(), Version: r.graph.Version, Handler: n.Handler, Queue: n.Queue,
		Config: n.Config, Input: r.input, Outputs: outputs,
		Timeout: n.Timeout, Retry: n.Retry, Attempts: s.attempts, Failures: s.failures, Crashes: s.crashes, KeyGeneration: s.gen,
		Labels: maps.Clone(r.labels), CorrelationID: r.correlationID, TraceParent: r.traceParent,
	}
}

// Heartbeat renews a claim, however late it comes. A nonce that was declared dead and speaks again did not crash: that crash is taken back.
func (m *Memory) Heartbeat(_ context.Context, req dag.HeartbeatRequest) (dag.Beat, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.open(req.Run)
	if !ok {
		return dag.Beat{Lost: true}, nil
	}
	s := c.step(req.Step)
	if !s.holds(req.Nonce) {
		if i := slices.Index(s.dead, req.Nonce); i >= 0 && !s.state.Settled() {
			s.dead = slices.Delete(s.dead, i, i+1)
			s.crashes = max(0, s.crashes-1)
			c.log("crash_taken_back", s)
		}
		return dag.Beat{Lost: true, Run: c.run.state}, nil
	}
	s.lease = c.now + req.TTL.Milliseconds()
	s.leaving = s.leaving || req.Leaving
	c.claims[c.member(s)] = s.lease
	return dag.Beat{Run: c.run.state}, nil
}

// Complete commits an output, tells the children and ends the run if this was its last step.
func (m *Memory) Complete(_ context.Context, req dag.CompleteRequest) (dag.Settled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.open(req.Run)
	if !ok {
		return dag.Settled{Reply: dag.ReplyFenced}, nil
	}
	s := c.step(req.Step)
	if !s.holds(req.Nonce) {
		return c.refusal(s, req.Nonce), nil
	}
	if c.run.bytes+len(req.Output) > dag.MaxRunBytes {
		return c.answer(dag.ReplyTooBig, s), nil
	}
	c.unclaim(s)
	s.state, s.done, s.output, s.err, s.due, s.finishedAt = dag.StepSucceeded, req.Nonce, req.Output, nil, 0, c.now
	c.run.bytes += len(req.Output)
	c.run.active--
	c.run.completed++
	c.log("succeeded", s)
	c.settle(s, dag.OutcomeOK)
	c.endTest()
	return c.answer(dag.ReplyOK, s), nil
}

// Fail commits a failed attempt. The step waits for its next attempt, or is failed for good when there is none left or no use.
func (m *Memory) Fail(_ context.Context, req dag.FailRequest) (dag.Settled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.open(req.Run)
	if !ok {
		return dag.Settled{Reply: dag.ReplyFenced}, nil
	}
	s := c.step(req.Step)
	if !s.holds(req.Nonce) {
		return c.refusal(s, req.Nonce), nil
	}
	c.unclaim(s)
	s.done, s.err = req.Nonce, &req.Error
	s.failures++
	switch {
	case c.run.state == dag.RunCancelling:
		c.cancel(s)
		c.log("cancelled", s)
		c.endTest()
	case req.Error.Retryable && s.failures < s.node.Retry.MaxAttempts:
		c.retryAt(s, c.now+req.Delay.Milliseconds())
	default:
		c.fail(s, req.Error)
		c.settle(s, dag.OutcomeFail)
		c.endTest()
	}
	return c.answer(dag.ReplyOK, s), nil
}

// retryAt leaves the step to the retry of its task, which the queue times. The doubt finds out when that task got lost.
func (c *change) retryAt(s *step, due int64) {
	s.state, s.due = dag.StepRetrying, due
	if c.run.state != dag.RunPaused {
		c.doubts[c.member(s)] = min(due+taskGrace, c.now+firstLook)
	}
	c.logEntry(dag.LogEntry{Event: "retrying", Code: s.err.Code, Message: s.err.Message}, s)
}

// Release gives a step back: neither a failure nor a crash.
func (m *Memory) Release(_ context.Context, ref dag.ClaimRef) (dag.Settled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.open(ref.Run)
	if !ok {
		return dag.Settled{Reply: dag.ReplyFenced}, nil
	}
	s := c.step(ref.Step)
	if !s.holds(ref.Nonce) {
		return c.refusal(s, ref.Nonce), nil
	}
	s.done = ref.Nonce
	c.queue(s, 0)
	c.log("released", s)
	c.endTest()
	return c.answer(dag.ReplyOK, s), nil
}
