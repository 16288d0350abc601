package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	sweepEvery   = time.Second      // between two rounds; part of the time that a takeover needs
	sweepLimit   = 100              // entries of each kind a partition and round, so that none starves the others
	sweepWidth   = 32               // partitions looked at at once
	sweepTimeout = 5 * time.Second  // for each kind of work in one partition
	lookTimeout  = 2 * time.Second  // for asking what is due: an absent node must not hold up the partitions of others
	pushBack     = 30 * time.Second // until a delivery that the queue refused is tried again, so that it does not block the head
	slowDue      = time.Second      // a `due` slower than this counts as a partition that was away
	clockJump    = 2 * time.Second  // Redis TIME ahead of our own clock by more, or back at all, is a jump
)

// Run runs the loops that every process of an installation has, the sweeper, the coalesced reports of hand-overs and the look at the store's
// memory, until ctx ends. It leaves nothing running and returns nil.
func (e *Engine) Run(ctx context.Context) error {
	e.handed.enable(true)
	defer e.handed.enable(false)
	sweep := newSweeper(e, newShare(), sweepWidth)
	var g errgroup.Group
	g.Go(func() error { every(ctx, sweepEvery, sweep.tick); return nil })
	g.Go(func() error { every(ctx, admitEvery, e.lookAtMemory); return nil })
	g.Go(func() error {
		every(ctx, flushEvery, func(ctx context.Context) { e.flushHandedOver(ctx, false) })
		return nil
	})
	err := g.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	sweep.leave(last, e)
	e.flushHandedOver(last, true)
	return err
}

// every calls tick at once and then each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, tick func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		tick(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Sweep runs one round over all partitions, one thing after the other, so that a test can repeat it. [Engine.Run] has a sweeper of its own, which shares the
// partitions with those of other processes; tests and tools that want single rounds make one here.
func (e *Engine) Sweep() func(ctx context.Context) { return newSweeper(e, allGroups(), 1).tick }

// sweeper repairs what a dead process left: deliveries not handed over, runs past their deadline, claims past their lease, tasks that the queue lost. It
// also removes runs past their retention. Any number may run at once; compare-and-set in the store makes the second of two a no-op.
type sweeper struct {
	*Engine
	share
	width   int // partitions looked at at once
	rulings []Ruling
	guards  [dag.Partitions]guard
	pass    auditPass
}

func newSweeper(e *Engine, sh share, width int) *sweeper {
	return &sweeper{Engine: e, share: sh, width: width, rulings: Rulings()}
}

// tick is a round: one question tells which partitions have something due, and those of the share are worked on.
func (s *sweeper) tick(ctx context.Context) {
	started := s.cfg.Now()
	partitions := s.choose(ctx)
	limits := dag.DueLimits{Entries: sweepLimit, Doubts: s.doubtsLimit(len(partitions))}
	dues := make([]dag.Due, dag.Partitions)
	var g errgroup.Group
	g.SetLimit(s.width)
	for _, p := range partitions {
		g.Go(func() error {
			dues[p] = s.sweep(ctx, p, limits)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	s.lookAt(ctx, doubtsWithin(s.portion(lookRate), dues))
	s.audit(ctx)
	if h := s.cfg.Hooks.Swept; h != nil {
		lag := slices.MaxFunc(dues, func(a, b dag.Due) int { return cmp.Compare(a.Lag, b.Lag) }).Lag
		h(lag, s.cfg.Now().Sub(started))
	}
}

// choose lists the partitions to go to: those of the share that have something due. When one of all could not be reached every one is gone to, so that each
// that answers is known to be there: whoever takes a partition over tomorrow has watched it today.
func (s *sweeper) choose(ctx context.Context) []int {
	var asking errgroup.Group
	asking.Go(func() error {
		s.ask(ctx, s.Engine)
		return nil
	})
	partitions, ok := s.waiting(ctx)
	_ = asking.Wait() // the function returns no error
	if ok {
		return slices.DeleteFunc(partitions, func(p int) bool { return !s.owns(p) })
	}
	all := make([]int, dag.Partitions)
	for p := range all {
		all[p] = p
	}
	return all
}

// waiting lists the partitions that have something due, whoever they belong to, and feeds the guards of all. ok is false when one could not be reached.
func (s *sweeper) waiting(ctx context.Context) (partitions []int, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	asked := s.cfg.Now()
	partitions, clocks, err := s.store.Waiting(ctx)
	answered := s.cfg.Now()
	if err != nil {
		return nil, false
	}
	for p := range s.guards {
		s.guards[p].reached(asked, answered, clocks[p], s.blind())
	}
	return partitions, true
}

// blind is how long a partition may go without an answer before it counts as away. An absence that is shorter leaves a live worker, which renews a claim
// after a third of the TTL at the latest, about another third to come back.
func (s *sweeper) blind() time.Duration { return s.cfg.TTL/3 + sweepEvery }

// sweep looks at one partition: agenda first, then claims. It returns what was due, for the doubts in it. In a partition of others it only looks whether
// it is there.
func (s *sweeper) sweep(ctx context.Context, partition int, limits dag.DueLimits) dag.Due {
	mine := s.owns(partition)
	if !mine {
		limits = dag.DueLimits{Entries: 1}
	}
	due, answered, ok := s.due(ctx, partition, limits)
	if !ok || !mine {
		return dag.Due{}
	}
	s.sweepAgenda(ctx, &due)
	if len(due.Claims) > 0 {
		within(ctx, func(ctx context.Context) { s.takeOver(ctx, &s.guards[partition], answered, due) })
	}
	return due
}

// due asks what a partition has waiting, and tells its guard of the answer, or that there was none.
func (s *sweeper) due(ctx context.Context, partition int, limits dag.DueLimits) (due dag.Due, answered time.Time, ok bool) {
	asking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	asked := s.cfg.Now()
	due, err := s.store.Due(asking, partition, limits)
	answered = s.cfg.Now()
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Log.DebugContext(ctx, "partition out of reach", "partition", partition, "err", err)
		}
		s.guards[partition].lost()
		return dag.Due{}, answered, false
	}
	s.guards[partition].reached(asked, answered, due.Now, s.blind())
	return due, answered, true
}

// within bounds the time of one kind of work by [sweepTimeout], so that none takes that of the next.
func within(ctx context.Context, work func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	work(ctx)
}
