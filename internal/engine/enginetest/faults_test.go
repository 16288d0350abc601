package enginetest

import (
	"context"
	"maps"
	"slices"

	"github.com/stepwell/stepwell/pkg/dag"
)

// The stores with a known fault in a verb of repairs or operators.

type sending struct{ memorySubject }

func (s sending) Pause(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	var agenda zset
	s.change(req.Run, func(c *change) {
		agenda = maps.Clone(c.agenda)
		delete(agenda, c.endMember())
	})
	got, err := s.memorySubject.Pause(ctx, req)
	if got.Reply == dag.ReplyOK {
		s.change(req.Run, func(c *change) { maps.Copy(c.agenda, agenda) })
	}
	return got, err
}

type timeless struct{ memorySubject }

func (s timeless) Resume(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	s.change(req.Run, func(c *change) {
		if c.run.state == dag.RunPaused {
			c.run.remaining = c.run.timeout
		}
	})
	return s.memorySubject.Resume(ctx, req)
}

type halfCancelled struct{ memorySubject }

func (s halfCancelled) Cancel(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	got, err := s.memorySubject.Cancel(ctx, req)
	if got.Reply == dag.ReplyOK {
		s.change(req.Run, func(c *change) {
			for st := range c.steps() {
				if st.epoch == 0 {
					st.state, st.finishedAt = dag.StepPending, 0
				}
			}
		})
	}
	return got, err
}

type doubleSkip struct{ memorySubject }

func (s doubleSkip) Skip(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	got, err := s.memorySubject.Skip(ctx, req)
	if got.Reply == dag.ReplyOK {
		s.change(req.Run, func(c *change) { c.settle(c.step(req.Step), dag.OutcomeSkip) })
	}
	return got, err
}

type lossy struct{ memorySubject }

func (s lossy) Resolve(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	got, err := s.memorySubject.Resolve(ctx, req)
	if got.Reply == dag.ReplyOK {
		s.change(req.Run, func(c *change) { c.step(req.Step).output = nil })
	}
	return got, err
}

type digger struct{ memorySubject }

func (s digger) Bury(ctx context.Context, req dag.BuryRequest) (dag.Settled, error) {
	s.change(req.Run, func(c *change) {
		if st := c.step(req.Step); st.idle() {
			req.State = st.state
		}
	})
	return s.memorySubject.Bury(ctx, req)
}

type staleLook struct{ memorySubject }

func (s staleLook) LookAgain(ctx context.Context, looks []dag.Look) error {
	looks = slices.Clone(looks)
	for i, look := range looks {
		s.change(look.Run, func(c *change) { looks[i].Epoch = c.step(look.Step).epoch })
	}
	return s.memorySubject.LookAgain(ctx, looks)
}

type untidy struct{ memorySubject }

func (s untidy) Purge(ctx context.Context, runs []string) (purged int, err error) {
	for _, id := range runs {
		var letters zset
		s.change(id, func(c *change) { letters = maps.Clone(c.dlq) })
		n, err := s.memorySubject.Purge(ctx, []string{id})
		if err != nil {
			return purged, err
		}
		if purged += n; n > 0 {
			p, err := dag.RunPartition(id)
			if err != nil {
				return purged, err
			}
			maps.Copy(s.partitions[p].dlq, letters)
		}
	}
	return purged, nil
}

type eager struct{ memorySubject }

func (s eager) Purge(_ context.Context, runs []string) (purged int, err error) {
	for _, id := range runs {
		s.change(id, func(c *change) {
			c.purge()
			purged++
		})
	}
	return purged, nil
}

type grabbing struct{ memorySubject }

func (s grabbing) Share(ctx context.Context, sweeper dag.SweeperInfo) ([]int, error) {
	s.mu.Lock()
	clear(s.groups)
	s.mu.Unlock()
	return s.memorySubject.Share(ctx, sweeper)
}
