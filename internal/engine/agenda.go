package engine

import (
	"context"

	"github.com/stepwell/stepwell/pkg/dag"
)

// sweepAgenda does what is due in a partition at this time: sends, ends, purges. There are at most [sweepLimit] of them.
func (s *sweeper) sweepAgenda(ctx context.Context, due *dag.Due) {
	for _, entry := range due.Unreadable {
		s.cfg.Log.WarnContext(ctx, "entry put off for an hour: this release cannot act on it; bring every process to the newest release", "entry", entry)
	}
	s.sweepSends(ctx, due)
	within(ctx, func(ctx context.Context) {
		for _, run := range due.Ends {
			s.expire(ctx, run)
		}
	})
	if len(due.Purges) > 0 {
		within(ctx, func(ctx context.Context) { s.purge(ctx, due.Purges) })
	}
}

// sweepSends hands over what nobody has handed over, and puts off what the queue refuses.
func (s *sweeper) sweepSends(ctx context.Context, due *dag.Due) {
	done := due.Stale
	var refused []dag.Delivery
	within(ctx, func(ctx context.Context) {
		for _, send := range due.Sends {
			if err := s.enqueue(ctx, send, true); err != nil {
				refused = append(refused, send.Delivery)
				continue
			}
			s.handed.drop(send.Delivery) // reported right below
			done = append(done, send.Delivery)
		}
	})
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	for _, d := range refused {
		if err := s.store.Later(ctx, d, pushBack); err != nil {
			s.cfg.Log.DebugContext(ctx, "send not pushed back", "run", d.Run, "step", d.Step, "err", err)
		}
	}
	if len(done) == 0 {
		return
	}
	if err := s.store.HandedOver(ctx, done); err != nil {
		s.cfg.Log.DebugContext(ctx, "hand-over not reported", "deliveries", len(done), "err", err)
	}
}

func (s *sweeper) expire(ctx context.Context, run string) {
	expired, err := s.store.Expire(ctx, run)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "run past its deadline not ended; tried again in the next round", "run", run, "err", err)
		return
	}
	if expired.Reply == dag.ReplyOK {
		s.cfg.Log.WarnContext(ctx, "deadline exceeded", "run", run)
		s.runEnded(ctx, run, expired.Workflow, expired.Run)
	}
}

// purge removes runs at the end of their retention, in one call.
func (s *sweeper) purge(ctx context.Context, runs []string) {
	purged, err := s.store.Purge(ctx, runs)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "runs past their retention not removed; tried again in the next round", "runs", len(runs), "err", err)
	}
	if purged == 0 {
		return
	}
	s.cfg.Log.InfoContext(ctx, "runs removed at the end of their retention", "runs", purged)
	if h := s.cfg.Hooks.Purged; h != nil {
		h(purged)
	}
}
