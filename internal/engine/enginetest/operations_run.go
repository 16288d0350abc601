package enginetest

import (
	"context"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Pause stops a run from beginning steps and its time from running out. What runs goes on, and may end the run.
func (m *Memory) Pause(_ context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return m.operate(&req, (*change).pause), nil
}

func (c *change) pause(req *dag.OperatorRequest) dag.Operated {
	if c.run.state != dag.RunRunning {
		return c.conflict("")
	}
	c.run.state = dag.RunPaused
	c.run.remaining, c.run.deadline = max(1, c.run.deadline-c.now), 0
	delete(c.agenda, c.endMember())
	for s := range c.steps() {
		if s.idle() { // tasks on their way are answered with PARKED, and nobody misses them
			c.unsend(s)
			s.seen = 0
		}
	}
	c.logRequest("paused", nil, req)
	return dag.Operated{Reply: dag.ReplyOK}
}

// Resume lets a paused run go on: whatever waited for a worker is issued anew.
func (m *Memory) Resume(_ context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return m.operate(&req, (*change).resume), nil
}

func (c *change) resume(req *dag.OperatorRequest) dag.Operated {
	if c.run.state != dag.RunPaused {
		return c.conflict("")
	}
	c.run.state = dag.RunRunning
	c.restoreDeadline()
	c.logRequest("resumed", nil, req)
	for s := range c.steps() {
		if s.idle() {
			c.queue(s, s.due)
			c.log("reissued", s)
		}
	}
	c.endTest()
	return dag.Operated{Reply: dag.ReplyOK}
}

// restoreDeadline gives a paused run the time that it had left.
func (c *change) restoreDeadline() {
	c.setDeadline(c.run.remaining)
	c.run.remaining = 0
}

// Cancel ends a run as soon as its handlers let it: what does not run is cancelled at once, the rest when its workers answer.
func (m *Memory) Cancel(_ context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return m.operate(&req, (*change).cancelRun), nil
}

func (c *change) cancelRun(req *dag.OperatorRequest) dag.Operated {
	switch c.run.state {
	case dag.RunPaused:
		c.restoreDeadline() // the running steps do not get for ever
	case dag.RunScheduled, dag.RunRunning:
	default:
		return c.conflict("")
	}
	cancelled := dag.Operated{Reply: dag.ReplyOK}
	c.run.state = dag.RunCancelling
	c.logRequest("cancel_requested", nil, req)
	for s := range c.steps() {
		switch {
		case s.idle() || s.state == dag.StepWaiting:
			if s.idle() {
				cancelled.Stale = append(cancelled.Stale, c.delivery(s))
			}
			c.unsend(s)
			c.cancel(s)
			c.log("cancelled", s)
		case s.state == dag.StepPending:
			s.state, s.finishedAt = dag.StepCancelled, c.now
		case s.state == dag.StepFailed:
			delete(c.dlq, c.member(s)) // nobody can retry it any more
		}
	}
	c.endTest()
	return cancelled
}
