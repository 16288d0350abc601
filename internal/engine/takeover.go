package engine

import (
	"context"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

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
