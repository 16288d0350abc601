package enginetest

import (
	"github.com/stepwell/stepwell/pkg/dag"
)

// handOverGrace is how long the caller of a transition has to hand over what it made ready, before the sweeper does. In ms.
const handOverGrace = 1000

// queue is the one way to queued: a new epoch, so that tasks and claims of older ones are recognised, and a send entry, so that
// the step reaches a worker whatever happens to the caller.
func (c *change) queue(s *step, due int64) {
	c.unsend(s)
	c.unclaim(s)
	s.state, s.queuedAt, s.due, s.seen = dag.StepQueued, c.now, 0, 0
	s.epoch++
	switch c.run.state {
	case dag.RunCancelling, dag.RunCancelled:
		c.cancel(s)
		return
	default:
	}
	later := due > c.now
	if later {
		s.due = due
	}
	switch {
	case c.run.state == dag.RunPaused: // resume sends it
	case later:
		c.agenda[c.sendMember(s)] = due
	default:
		c.agenda[c.sendMember(s)] = c.now + handOverGrace
		c.sends = append(c.sends, c.send(s))
	}
}

// cancel settles an active step of a run that is cancelled. Children are told nothing: nothing is queued any more.
func (c *change) cancel(s *step) {
	s.state, s.finishedAt, s.due, s.seen = dag.StepCancelled, c.now, 0, 0
	c.run.active--
}

// fail settles an active step as failed for good. What this means for others is settle's and the end test's.
func (c *change) fail(s *step, cause dag.StepError) {
	s.state, s.finishedAt, s.due, s.seen, s.err = dag.StepFailed, c.now, 0, 0, &cause
	c.run.active--
	c.dlq[c.member(s)] = c.now
	c.logEntry(dag.LogEntry{Event: "failed", Code: cause.Code, Message: cause.Message}, s)
}

// settle tells every child an outcome and queues those that became ready.
func (c *change) settle(s *step, outcome dag.Outcome) {
	for _, name := range s.node.Children {
		child := c.step(name)
		child.parents = child.parents.Add(outcome, 1)
		if c.run.state == dag.RunCancelling || c.run.state == dag.RunCancelled || child.state != dag.StepPending {
			continue
		}
		if child.node.Join.Decide(child.parents, len(child.node.Parents)) == dag.DecisionRun {
			c.run.active++
			c.queue(child, 0)
		}
	}
}

// endTest ends the run when nothing in it is active any more.
func (c *change) endTest() {
	switch r := c.run; {
	case r.active > 0:
	case r.completed == len(r.steps):
		c.end(dag.RunSucceeded, "run_succeeded")
	case r.state == dag.RunCancelling:
		c.end(dag.RunCancelled, "run_cancelled")
	default:
		c.end(dag.RunFailed, "run_failed")
	}
}

// end ends the run. From now on its retention counts.
func (c *change) end(state dag.RunState, event string) {
	c.run.state, c.run.finishedAt, c.run.remaining = state, c.now, 0
	delete(c.agenda, c.endMember())
	keep := c.run.keep
	if state == dag.RunFailed {
		keep = c.run.keepFailed
	}
	if keep > 0 {
		c.agenda[c.purgeMember()] = c.now + keep
	}
	c.log(event, nil)
}

// reopen lets a failed run go on, with as much time as a new one.
func (c *change) reopen() {
	if c.run.state != dag.RunFailed {
		return
	}
	c.run.state, c.run.finishedAt = dag.RunRunning, 0
	delete(c.agenda, c.purgeMember())
	c.setDeadline(c.run.timeout)
}

// setDeadline gives the run that many ms from now.
func (c *change) setDeadline(ms int64) {
	c.run.deadline = c.now + ms
	c.agenda[c.endMember()] = c.run.deadline
}

// takeBack takes the outcome of a failed step back from its children. The step is active again, and somebody has to say what it does.
func (c *change) takeBack(s *step) {
	for _, child := range s.node.Children {
		c.step(child).parents = c.step(child).parents.Add(dag.OutcomeFail, -1)
	}
	delete(c.dlq, c.member(s))
	c.run.active++
}

// unclaim takes the step from its worker.
func (c *change) unclaim(s *step) {
	delete(c.claims, c.member(s))
	s.claim, s.lease, s.leaving = "", 0, false
}

// unsend forgets the step's present delivery.
func (c *change) unsend(s *step) {
	delete(c.agenda, c.sendMember(s))
	delete(c.doubts, c.member(s))
}

func (c *change) delivery(s *step) dag.Delivery {
	return dag.Delivery{Run: c.run.id, Step: s.node.Name, Epoch: s.epoch}
}

func (c *change) send(s *step) dag.Send {
	return dag.Send{
		Delivery: c.delivery(s), Def: c.run.graph.Digest, Handler: s.node.Handler, Queue: s.node.Queue, TraceParent: c.run.traceParent,
	}
}

// answer says where the step and its run stand after a change, or without one.
func (c *change) answer(reply dag.Reply, s *step) dag.Settled {
	a := dag.Settled{Reply: reply, Step: s.state, Run: c.run.state, Sends: c.sends}
	if s.state == dag.StepRetrying {
		a.Delay = milliseconds(max(0, s.due-c.now))
	}
	return a
}

// refusal answers a request whose nonce does not hold the step: it was carried out before, or the claim is another's.
func (c *change) refusal(s *step, nonce string) dag.Settled {
	if s.done == nonce && nonce != "" {
		return c.answer(dag.ReplyAlready, s)
	}
	return c.answer(dag.ReplyFenced, s)
}
