package enginetest

import (
	"context"
	"slices"

	"github.com/stepwell/stepwell/pkg/dag"
)

// maxOps is how many operator requests a run remembers.
const maxOps = 16

// Retry queues failed or retrying steps at once, as if they had never failed, and opens a failed run again.
func (m *Memory) Retry(_ context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.open(req.Run)
	if !ok {
		return dag.Operated{Reply: dag.ReplyNoRun}, nil
	}
	if slices.Contains(c.run.ops, req.Nonce) {
		return dag.Operated{Reply: dag.ReplyAlready, Run: c.run.state}, nil
	}
	targets := c.retryTargets(req.Step)
	if len(targets) == 0 || slices.ContainsFunc(targets, c.childBegun) {
		refused := dag.Operated{Reply: dag.ReplyConflict, Run: c.run.state}
		if s, ok := c.run.steps[req.Step]; ok {
			refused.Step = s.state
		}
		return refused, nil
	}
	if c.run.state == dag.RunFailed {
		c.run.state, c.run.finishedAt = dag.RunRunning, 0
		c.run.deadline = c.now + c.run.timeout
		c.agenda[c.endMember()] = c.run.deadline
	}
	c.run.ops = lastOf(maxOps, append(c.run.ops, req.Nonce))
	retried := dag.Operated{Reply: dag.ReplyOK, Run: c.run.state}
	for _, s := range targets {
		retried.Stale = append(retried.Stale, c.delivery(s))
		c.retry(s)
		c.logEntry(dag.LogEntry{Event: "retried", Message: req.Reason, Actor: req.Actor}, s)
	}
	retried.Sends = c.sends
	return retried, nil
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
	for i := range c.run.graph.Nodes {
		s := c.step(c.run.graph.Nodes[i].Name)
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
		for _, child := range s.node.Children {
			c.step(child).parents = c.step(child).parents.Add(dag.OutcomeFail, -1)
		}
		delete(c.dlq, c.member(s))
		c.run.active++
		if s.err != nil && s.err.Refused {
			s.gen++ // the provider's no belongs to the old effect key
		}
	}
	s.failures, s.crashes, s.dead, s.err, s.done, s.finishedAt = 0, 0, nil, nil, "", 0
	c.queue(s, 0)
}
