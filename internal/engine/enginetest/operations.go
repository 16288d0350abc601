package enginetest

import (
	"context"
	"slices"

	"github.com/stepwell/stepwell/pkg/dag"
)

// maxOps is how many operator requests a run remembers.
const maxOps = 16

// operate carries an operator's request out, unless the run remembers that it was.
func (m *Memory) operate(req *dag.OperatorRequest, verb func(c *change, req *dag.OperatorRequest) dag.Operated) dag.Operated {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.open(req.Run)
	if !ok {
		return dag.Operated{Reply: dag.ReplyNoRun}
	}
	if slices.Contains(c.run.ops, req.Nonce) {
		return dag.Operated{Reply: dag.ReplyAlready, Run: c.run.state}
	}
	done := verb(c, req)
	if done.Reply == dag.ReplyOK {
		c.run.ops = lastOf(maxOps, append(c.run.ops, req.Nonce))
		done.Sends = c.sends
	}
	done.Run = c.run.state
	return done
}

// conflict refuses a request, with the state of the step that it is about, if there is one.
func (c *change) conflict(step string) dag.Operated {
	refused := dag.Operated{Reply: dag.ReplyConflict}
	if s, ok := c.run.steps[step]; ok {
		refused.Step = s.state
	}
	return refused
}

// logRequest writes the line of an operator's request, about the run when s is nil.
func (c *change) logRequest(event string, s *step, req *dag.OperatorRequest) {
	c.logEntry(dag.LogEntry{Event: event, Message: req.Reason, Actor: req.Actor}, s)
}

// Retry queues failed or retrying steps at once, as if they had never failed, and opens a failed run again.
func (m *Memory) Retry(_ context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return m.operate(&req, (*change).retryAll), nil
}

func (c *change) retryAll(req *dag.OperatorRequest) dag.Operated {
	targets := c.retryTargets(req.Step)
	if len(targets) == 0 || slices.ContainsFunc(targets, c.childBegun) {
		return c.conflict(req.Step)
	}
	c.reopen()
	retried := dag.Operated{Reply: dag.ReplyOK}
	for _, s := range targets {
		retried.Stale = append(retried.Stale, c.delivery(s))
		c.retry(s)
		c.logRequest("retried", s, req)
	}
	return retried
}

// retryTargets are the steps that a retry is about: the named one if it failed or waits for its next attempt, or every failed one.
// There are none in a run that was cancelled, succeeded, or has yet to start.
func (c *change) retryTargets(name string) []*step {
	switch c.run.state {
	case dag.RunRunning, dag.RunFailed, dag.RunPaused:
	default:
		return nil
	}
	var targets []*step
	for s := range c.steps() {
		if s.state == dag.StepFailed && name == "" || s.node.Name == name && (s.state == dag.StepFailed || s.state == dag.StepRetrying) {
			targets = append(targets, s)
		}
	}
	return targets
}

// childBegun tells whether a child of a failed step acted on its outcome, which can then not be taken back.
func (c *change) childBegun(s *step) bool {
	return s.state == dag.StepFailed && slices.ContainsFunc(s.node.Children, func(child string) bool {
		return c.step(child).state != dag.StepPending
	})
}

func (c *change) retry(s *step) {
	if s.state == dag.StepFailed {
		c.takeBack(s)
		if s.err != nil && s.err.Refused {
			s.gen++ // the provider's no belongs to the old effect key
		}
	}
	s.forget()
	s.finishedAt = 0
	c.queue(s, 0)
}

// forget lets go of what earlier attempts left, except how many there were.
func (s *step) forget() { s.failures, s.crashes, s.dead, s.err, s.done = 0, 0, nil, nil, "" }

// Skip settles a step as if it were not part of the run.
func (m *Memory) Skip(_ context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return m.operate(&req, (*change).skip), nil
}

func (c *change) skip(req *dag.OperatorRequest) dag.Operated {
	s, ok := c.settleable(req.Step)
	if !ok {
		return c.conflict(req.Step)
	}
	return c.settleByHand(s, dag.StepSkipped, req)
}

// Resolve settles a step as succeeded, with an output that somebody found out elsewhere.
func (m *Memory) Resolve(_ context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return m.operate(&req, (*change).resolve), nil
}

func (c *change) resolve(req *dag.OperatorRequest) dag.Operated {
	s, ok := c.settleable(req.Step)
	switch {
	case !ok:
		return c.conflict(req.Step)
	case c.run.bytes+len(req.Output) > dag.MaxRunBytes:
		return dag.Operated{Reply: dag.ReplyTooBig, Step: s.state}
	}
	s.output = req.Output
	c.run.bytes += len(req.Output)
	return c.settleByHand(s, dag.StepSucceeded, req)
}

// settleable finds a step that an operator may settle. It must not run, and nothing may have been done about its failure.
func (c *change) settleable(name string) (s *step, ok bool) {
	switch c.run.state {
	case dag.RunScheduled, dag.RunRunning, dag.RunPaused, dag.RunFailed:
	default:
		return nil, false
	}
	if s, ok = c.run.steps[name]; !ok {
		return nil, false
	}
	switch s.state {
	case dag.StepQueued, dag.StepRetrying, dag.StepWaiting, dag.StepFailed:
		return s, !c.childBegun(s)
	default:
		return nil, false
	}
}

// settleByHand settles a step without an attempt: its children go on, and the run ends if nothing else is left.
func (c *change) settleByHand(s *step, state dag.StepState, req *dag.OperatorRequest) dag.Operated {
	done := dag.Operated{Reply: dag.ReplyOK, Stale: []dag.Delivery{c.delivery(s)}}
	event, outcome := "skipped", dag.OutcomeSkip
	if state == dag.StepSucceeded {
		event, outcome = "resolved", dag.OutcomeOK
	}
	c.reopen()
	if s.state == dag.StepFailed {
		c.takeBack(s)
	}
	c.unsend(s)
	s.forget()
	s.state, s.due, s.seen, s.finishedAt = state, 0, 0, c.now
	c.run.active--
	c.run.completed++
	c.logRequest(event, s, req)
	c.settle(s, outcome)
	c.endTest()
	return done
}
