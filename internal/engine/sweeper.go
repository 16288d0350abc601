package engine

import (
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
	sweepTimeout = 5 * time.Second  // for the work on one partition
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
	sweep := newSweeper(e)
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

// Sweep runs one round over all partitions. [Engine.Run] has a sweeper of its own; tests and tools that want single rounds make one here.
func (e *Engine) Sweep() func(ctx context.Context) { return newSweeper(e).tick }

// sweeper repairs what a dead process left: deliveries not handed over, runs past their deadline, claims past their lease. Any number may run
// at once; compare-and-set in the store makes the second of two a no-op.
type sweeper struct {
	*Engine
	guards [dag.Partitions]guard
}

func newSweeper(e *Engine) *sweeper { return &sweeper{Engine: e} }

// tick looks at every partition once: one question tells which of them have something due.
func (s *sweeper) tick(ctx context.Context) {
	started := s.cfg.Now()
	var g errgroup.Group
	g.SetLimit(sweepWidth)
	lags := make([]time.Duration, dag.Partitions)
	for _, p := range s.waiting(ctx) {
		g.Go(func() error {
			pctx, cancel := context.WithTimeout(ctx, sweepTimeout)
			defer cancel()
			lags[p] = s.sweep(pctx, p)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	if h := s.cfg.Hooks.Swept; h != nil {
		h(slices.Max(lags), s.cfg.Now().Sub(started))
	}
}

// waiting lists the partitions to look at: those that have something due, or all of them when one could not be reached, so that each one
// that answers is known to be there.
func (s *sweeper) waiting(ctx context.Context) []int {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	asked := s.cfg.Now()
	partitions, clocks, err := s.store.Waiting(ctx)
	answered := s.cfg.Now()
	if err != nil {
		all := make([]int, dag.Partitions)
		for p := range all {
			all[p] = p
		}
		return all
	}
	for p := range s.guards {
		s.guards[p].reached(asked, answered, clocks[p], s.blind())
	}
	return partitions
}

// blind is how long a partition may go without an answer before it counts as away. An absence that is shorter leaves a live worker, which renews a claim
// after a third of the TTL at the latest, about another third to come back.
func (s *sweeper) blind() time.Duration { return s.cfg.TTL/3 + sweepEvery }

func (s *sweeper) due(ctx context.Context, partition int) (dag.Due, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return s.store.Due(ctx, partition, dag.DueLimits{Entries: sweepLimit})
}

// sweep looks at one partition: agenda first, then claims.
func (s *sweeper) sweep(ctx context.Context, partition int) time.Duration {
	guard := &s.guards[partition]
	asked := s.cfg.Now()
	due, err := s.due(ctx, partition)
	answered := s.cfg.Now()
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Log.DebugContext(ctx, "partition out of reach", "partition", partition, "err", err)
		}
		guard.lost()
		return 0
	}
	guard.reached(asked, answered, due.Now, s.blind())
	s.sweepSends(ctx, due)
	for _, run := range due.Ends {
		s.expire(ctx, run)
	}
	if len(due.Claims) > 0 {
		s.takeOver(ctx, guard, answered, due)
	}
	return due.Lag
}

func (s *sweeper) sweepSends(ctx context.Context, due dag.Due) {
	done := due.Stale
	for _, send := range due.Sends {
		if err := s.enqueue(ctx, send, true); err != nil {
			if err := s.store.Later(ctx, send.Delivery, pushBack); err != nil {
				s.cfg.Log.DebugContext(ctx, "send not pushed back", "run", send.Run, "step", send.Step, "err", err)
			}
			continue
		}
		s.handed.drop(send.Delivery) // reported right below
		done = append(done, send.Delivery)
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

// takeOver gives the steps of silent workers a new epoch. A worker is judged by the TTL that it announced, which may differ from that of this process.
func (s *sweeper) takeOver(ctx context.Context, guard *guard, now time.Time, due dag.Due) {
	workers, _, err := s.store.Workers(ctx)
	if err != nil {
		return // without the list nobody can tell a crash from a shutdown; the next round can
	}
	known := make(map[string]*dag.WorkerInfo, len(workers))
	for i := range workers {
		known[workers[i].ID] = &workers[i]
	}
	for _, claim := range due.Claims {
		worker, ttl := known[claim.Worker], s.cfg.TTL
		if worker != nil && worker.TTL > 0 {
			ttl = worker.TTL
		}
		if guard.settled(now, ttl) {
			s.reissue(ctx, claim, isCrash(guard, claim, worker, ttl))
		}
	}
}

// isCrash tells a process that died from one that lives, signed off, or could not renew because Redis was away. Only the first counts.
//
// A live process is heard of every heartbeat, a third of the TTL at most: when a lease runs out it was heard of in the lease's last third. A
// dead one was heard of for the last time before it missed the claim's next renewal, in the lease's first third. The middle tells them apart.
func isCrash(guard *guard, claim dag.DeadClaim, worker *dag.WorkerInfo, ttl time.Duration) bool {
	renewed := claim.Lease.Add(-ttl)
	if claim.Leaving || guard.awaySince(renewed) {
		return false
	}
	return worker == nil || (worker.LeftAt.IsZero() && worker.SeenAt.Sub(renewed) < ttl/2)
}

func (s *sweeper) reissue(ctx context.Context, claim dag.DeadClaim, crash bool) {
	req := dag.ReissueRequest{
		Run: claim.Run, Step: claim.Step, Def: claim.Def,
		State: dag.StepRunning, Epoch: claim.Epoch, Nonce: claim.Nonce, Crash: crash,
	}
	if crash { // crash n is tried again after rand(0, (n-1) × TTL): the first at once
		req.Delay = time.Duration(s.cfg.Random() * float64(claim.Crashes) * float64(s.cfg.TTL))
	}
	settled, err := s.store.Reissue(ctx, req)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "step not taken over; tried again in the next round", "run", claim.Run, "step", claim.Step, "err", err)
		return
	}
	if settled.Reply != dag.ReplyOK {
		return // renewed, settled or taken over by another meanwhile
	}
	s.cfg.Log.WarnContext(ctx, "step taken over from a silent worker", "run", claim.Run, "step", claim.Step, "worker", claim.Worker, "crash", crash, "state", settled.Step)
	if h := s.cfg.Hooks.StepTaken; h != nil {
		h(claim, crash)
	}
	s.handOver(ctx, settled.Sends)
	s.runEnded(ctx, claim.Run, claim.Workflow, settled.Run)
}
