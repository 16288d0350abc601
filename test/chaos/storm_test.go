//go:build integration

package chaos_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// fault is one thing that is going to happen.
type fault struct {
	at   time.Duration // from the beginning
	what func(ctx context.Context) error
}

// storm is a schedule of faults, and what has come of it.
type storm struct {
	fleet  *fleet
	faults []fault

	kills, outages, stops, cuts, delays atomic.Int64

	mu       sync.Mutex
	problems []error // of the storm itself
}

// newStorm draws a schedule over the time of the orders. The same seed draws the same one.
func newStorm(f *fleet, p *profile) *storm {
	s, n, span := &storm{fleet: f}, p.faults, p.span()
	rng := rand.New(rand.NewPCG(p.seed, 1))
	s.draw(rng, span, n.kills, s.kill)
	s.draw(rng, span, n.outages, s.outage)
	s.draw(rng, span, n.stops, s.stop)
	s.draw(rng, span, n.cuts, s.cut)
	s.draw(rng, span, n.delays, s.delay)
	if p.nap > 0 {
		s.faults = append(s.faults, fault{at: span / 2, what: s.freeze(f.workers[0], p.nap)})
	}
	slices.SortFunc(s.faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return s
}

// draw adds n faults of a kind.
func (s *storm) draw(rng *rand.Rand, span time.Duration, n int, kind func(rng *rand.Rand) func(ctx context.Context) error) {
	for range n {
		s.faults = append(s.faults, fault{at: time.Duration(rng.Int64N(int64(span))), what: kind(rng)})
	}
}

// blow lets everything happen and returns when the last fault is over.
func (s *storm) blow(ctx context.Context) {
	begun := time.Now()
	var wg sync.WaitGroup
	for _, f := range s.faults {
		select {
		case <-time.After(f.at - time.Since(begun)):
		case <-ctx.Done():
		}
		wg.Go(func() {
			if err := f.what(ctx); err != nil && ctx.Err() == nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.problems = append(s.problems, err)
			}
		})
	}
	wg.Wait()
}

// victim draws a process.
func (s *storm) victim(rng *rand.Rand) *member {
	all := s.fleet.members()
	return all[rng.IntN(len(all))]
}

// sleeper draws the process to be stopped: workers hold claims, so they are drawn more often than their number would have it.
func (s *storm) sleeper(rng *rand.Rand) *member {
	if rng.IntN(4) == 0 {
		return s.victim(rng)
	}
	return s.fleet.workers[rng.IntN(len(s.fleet.workers))]
}

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)))
}

// insist repeats what can be done only to a process that is there.
func insist(ctx context.Context, do func() error) error {
	var err error
	if !eventually(ctx, time.Minute, func() bool { err = do(); return !errors.Is(err, errNobody) }) {
		return fmt.Errorf("for a minute: %w", errNobody)
	}
	return err
}

// kill is a SIGKILL.
func (s *storm) kill(rng *rand.Rand) func(context.Context) error {
	m := s.victim(rng)
	return func(ctx context.Context) error {
		if err := insist(ctx, m.kill); err != nil {
			return fmt.Errorf("kill %s: %w", m.name, err)
		}
		s.kills.Add(1)
		return nil
	}
}

// outage is a SIGKILL of Redis, which comes back on the same port with what its file holds.
func (s *storm) outage(rng *rand.Rand) func(context.Context) error {
	loss, pause := between(rng, 0, time.Second), between(rng, 100*time.Millisecond, 2*time.Second)
	return func(ctx context.Context) error {
		if err := s.fleet.redis.die(ctx, loss, pause); err != nil {
			return err
		}
		s.outages.Add(1)
		return nil
	}
}

// stop is a SIGSTOP for longer than claims live.
func (s *storm) stop(rng *rand.Rand) func(context.Context) error {
	return s.freeze(s.sleeper(rng), between(rng, ttl+300*time.Millisecond, ttl+2*time.Second))
}

func (s *storm) freeze(m *member, d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := insist(ctx, func() error { return m.freeze(d) }); err != nil {
			return fmt.Errorf("stop %s: %w", m.name, err)
		}
		s.stops.Add(1)
		return nil
	}
}

// cut ends connections: at once, in the middle of a reply, or after a silence.
func (s *storm) cut(rng *rand.Rand) func(context.Context) error {
	m, d := s.victim(rng), between(rng, 100*time.Millisecond, time.Second)
	toxic, stream, attributes := "reset_peer", "downstream", map[string]int64{"timeout": 0}
	switch rng.IntN(4) {
	case 0:
		toxic, attributes = "limit_data", map[string]int64{"bytes": rng.Int64N(5000)}
	case 1:
		toxic, stream, attributes = "limit_data", "upstream", map[string]int64{"bytes": rng.Int64N(5000)}
	case 2:
		toxic, attributes = "timeout", map[string]int64{"timeout": d.Milliseconds()}
	}
	return s.toxic(m, &s.cuts, d, toxic, stream, attributes)
}

// delay slows connections down.
func (s *storm) delay(rng *rand.Rand) func(context.Context) error {
	m, d := s.victim(rng), between(rng, time.Second, 3*time.Second)
	ms := 5 + rng.Int64N(150)
	toxic, attributes := "latency", map[string]int64{"latency": ms, "jitter": ms / 2}
	if rng.IntN(3) == 0 {
		toxic, attributes = "bandwidth", map[string]int64{"rate": 5 + rng.Int64N(50)}
	}
	return s.toxic(m, &s.delays, d, toxic, "downstream", attributes)
}

func (s *storm) toxic(m *member, count *atomic.Int64, d time.Duration, toxic, stream string, attributes map[string]int64) func(context.Context) error {
	return func(ctx context.Context) error {
		cure, err := m.proxy.poison(toxic, stream, attributes)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", toxic, m.name, err)
		}
		<-time.After(d)
		if err := cure(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("end of %s of %s: %w", toxic, m.name, err)
		}
		count.Add(1)
		return nil
	}
}

// done counts what has happened so far.
func (s *storm) done() faults {
	return faults{
		kills: int(s.kills.Load()), outages: int(s.outages.Load()), stops: int(s.stops.Load()), cuts: int(s.cuts.Load()), delays: int(s.delays.Load()),
	}
}

func (f faults) String() string {
	return fmt.Sprintf("%d SIGKILLs, %d kills of Redis, %d stops, %d cuts, %d delays", f.kills, f.outages, f.stops, f.cuts, f.delays)
}
