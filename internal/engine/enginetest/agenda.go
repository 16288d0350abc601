package enginetest

import (
	"context"
	"fmt"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// doubtAfter is how long after its hand-over a queued step is looked after. In ms.
const doubtAfter = 30_000

// maxDead is how many dead nonces a step remembers.
const maxDead = 4

// HandedOver drops send entries. A step that still waits for that very delivery comes into doubt later.
func (m *Memory) HandedOver(_ context.Context, deliveries []dag.Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range deliveries {
		c, entry, ok := m.entry(d)
		if !ok {
			continue
		}
		delete(c.agenda, entry)
		if s := c.step(d.Step); s.state == dag.StepQueued && s.epoch == d.Epoch {
			c.doubts[c.member(s)] = c.now + doubtAfter
		}
	}
	return nil
}

// Later moves a send entry that is still there.
func (m *Memory) Later(_ context.Context, d dag.Delivery, delay time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, entry, ok := m.entry(d); ok {
		c.agenda[entry] = c.now + delay.Milliseconds()
	}
	return nil
}

// entry finds the send entry of a delivery; ok is false when it is not in the agenda.
func (m *Memory) entry(d dag.Delivery) (c *change, entry string, ok bool) {
	c, ok = m.open(d.Run)
	if !ok {
		return nil, "", false
	}
	entry = fmt.Sprintf("send:%s:%s:%d", d.Run, d.Step, d.Epoch)
	_, ok = c.agenda[entry]
	return c, entry, ok
}

// Reissue is a compare-and-set: a step that is as it was seen gets a new epoch. It alone takes a claim from a worker, after the lease
// ran out. Three crashes are poison.
func (m *Memory) Reissue(_ context.Context, req dag.ReissueRequest) (dag.Settled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.open(req.Run)
	if !ok {
		return dag.Settled{Reply: dag.ReplyRaced}, nil
	}
	s := c.step(req.Step)
	if s.state != req.State || s.epoch != req.Epoch || s.claim != req.Nonce {
		return c.answer(dag.ReplyRaced, s), nil
	}
	due := c.now + req.Delay.Milliseconds()
	switch s.state {
	case dag.StepQueued, dag.StepRetrying:
		c.queue(s, max(due, s.due))
		c.log("reissued", s)
	case dag.StepRunning:
		if s.lease > c.now {
			return c.answer(dag.ReplyAlive, s), nil
		}
		c.takeOver(s, req.Crash && !s.leaving, due)
	default:
		return c.answer(dag.ReplyRaced, s), nil
	}
	c.endTest()
	return c.answer(dag.ReplyOK, s), nil
}

// takeOver takes the step from a worker that went silent; counted when that means that its process died.
func (c *change) takeOver(s *step, counted bool, due int64) {
	if !counted {
		c.queue(s, due)
		c.log("reissued", s)
		return
	}
	s.crashes++
	s.dead = lastOf(maxDead, append(s.dead, s.claim))
	if s.crashes < dag.MaxCrashes || c.run.state == dag.RunCancelling {
		c.queue(s, due)
		c.log("crashed", s)
		return
	}
	c.unclaim(s)
	c.log("crashed", s)
	c.fail(s, dag.StepError{
		Code: dag.CodePoison,
		Message: fmt.Sprintf("the worker process died %d times while it ran this step; last worker %s, last attempt %d",
			dag.MaxCrashes, s.worker, s.attempts),
	})
	c.settle(s, dag.OutcomeFail)
}

// Expire ends a run whose deadline has passed: what is active fails, and nothing is queued any more.
func (m *Memory) Expire(_ context.Context, id string) (dag.Expired, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.open(id)
	switch {
	case !ok:
		return dag.Expired{Reply: dag.ReplyNoRun}, nil
	case c.run.state.Ended():
		delete(c.agenda, c.endMember())
		return dag.Expired{Reply: dag.ReplyAlready, Workflow: c.run.graph.FullName(), Run: c.run.state}, nil
	case c.run.state == dag.RunPaused || c.run.deadline > c.now:
		return dag.Expired{Reply: dag.ReplyConflict, Workflow: c.run.graph.FullName(), Run: c.run.state}, nil
	}
	cancelling := c.run.state == dag.RunCancelling
	for s := range c.steps() {
		if s.state.Active() {
			c.expire(s, cancelling)
		}
	}
	state := dag.RunFailed
	if cancelling {
		state = dag.RunCancelled
	}
	c.end(state, "expired")
	return dag.Expired{Reply: dag.ReplyOK, Workflow: c.run.graph.FullName(), Run: state}, nil
}

func (c *change) expire(s *step, cancelling bool) {
	was := s.state
	c.unsend(s)
	c.unclaim(s)
	if cancelling {
		c.cancel(s)
		c.log("cancelled", s)
		return
	}
	c.fail(s, dag.StepError{Code: dag.CodeDeadlineExceeded, Message: "the run's deadline passed while the step was " + string(was)})
	for _, child := range s.node.Children {
		c.step(child).parents = c.step(child).parents.Add(dag.OutcomeFail, 1)
	}
}
