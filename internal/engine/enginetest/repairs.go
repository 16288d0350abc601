package enginetest

import (
	"context"

	"github.com/stepwell/stepwell/pkg/dag"
)

// LookAgain puts doubts off. What a look saw of another epoch's task says nothing about this one.
func (m *Memory) LookAgain(_ context.Context, looks []dag.Look) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, look := range looks {
		c, ok := m.open(look.Run)
		if !ok {
			continue
		}
		s := c.step(look.Step)
		if _, ok := c.doubts[c.member(s)]; !ok || s.epoch != look.Epoch {
			continue
		}
		if !s.idle() {
			delete(c.doubts, c.member(s))
			continue
		}
		c.doubts[c.member(s)] = c.now + look.After.Milliseconds()
		switch {
		case !look.Active:
			s.seen = 0
		case s.seen == 0:
			s.seen = c.now
		}
	}
	return nil
}

// Bury fails a step whose task a person has put away: a compare-and-set, as Reissue is.
func (m *Memory) Bury(_ context.Context, req dag.BuryRequest) (dag.Settled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.open(req.Run)
	if !ok {
		return dag.Settled{Reply: dag.ReplyRaced}, nil
	}
	s := c.step(req.Step)
	if !s.idle() || s.state != req.State || s.epoch != req.Epoch {
		return c.answer(dag.ReplyRaced, s), nil
	}
	c.unsend(s)
	c.fail(s, req.Error)
	c.settle(s, dag.OutcomeFail)
	c.endTest()
	return c.answer(dag.ReplyOK, s), nil
}

// StepsAt tells where deliveries stand.
func (m *Memory) StepsAt(_ context.Context, deliveries []dag.Delivery) ([]dag.StepAt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []dag.StepAt
	for _, d := range deliveries {
		at := dag.StepAt{Delivery: d}
		if c, ok := m.open(d.Run); ok {
			at.State, at.At = c.step(d.Step).state, c.step(d.Step).epoch
		}
		list = append(list, at)
	}
	return list, nil
}

// Purge removes ended runs with all that belongs to them. One that was opened again, or is to be kept longer, stays.
func (m *Memory) Purge(_ context.Context, runs []string) (purged int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range runs {
		n, err := dag.RunPartition(id)
		if err != nil {
			return purged, err
		}
		c, ok := m.open(id)
		if !ok || !c.run.state.Ended() {
			delete(m.partitions[n].agenda, "purge:"+id)
			continue
		}
		if at, ok := c.agenda[c.purgeMember()]; ok && at <= c.now {
			c.purge()
			purged++
		}
	}
	return purged, nil
}

func (c *change) purge() {
	delete(c.agenda, c.purgeMember())
	for s := range c.steps() {
		delete(c.dlq, c.member(s))
	}
	idem := c.run.graph.FullName() + ":" + c.run.key
	if c.idem[idem].run == c.run.id {
		delete(c.idem, idem)
	}
	delete(c.runs, c.run.id)
}
