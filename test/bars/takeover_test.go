//go:build integration

package bars_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/internal/localredis"
)

// TestTakeOverTimes kills fifty workers, each in a step, at moments spread over 15 s, and measures from the kill to the begin of the next attempt.
func TestTakeOverTimes(t *testing.T) {
	t.Parallel()
	const trials, spread = 50, 15 * time.Second
	l := newLab(t, localredis.Options{})
	l.register(t, workflow("hold", "hold", 1))
	victims := map[string]*demo.Process{}
	for i := range trials {
		name := fmt.Sprintf("victim-%02d", i)
		victims[name] = l.process(t, "worker", name, "hold", 1, defaultTTL)
	}
	runs := l.start(t, "hold", jobs(trials, job{Do: doHang})...)
	held := l.all(t, time.Minute, "every step is running", runs, running)
	for i := range 2 {
		l.process(t, "worker", fmt.Sprintf("heir-%d", i), "hold", trials, defaultTTL)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	killed := map[string]time.Time{}
	var kills sync.WaitGroup
	for _, v := range held {
		name := v.Steps[0].Worker[:len("victim-00")]
		wait := time.Duration(rng.Int64N(int64(spread)))
		kills.Go(func() {
			<-time.After(wait)
			mu.Lock()
			killed[v.ID] = time.Now()
			mu.Unlock()
			if err := victims[name].Kill(); err != nil {
				t.Error(err)
			}
		})
	}
	kills.Wait()
	times := make([]time.Duration, 0, trials)
	for _, v := range l.all(t, 90*time.Second, "every run has succeeded", runs, succeeded) {
		s := &v.Steps[0]
		if s.Attempts != 2 || s.Crashes != 1 || s.Failures != 0 || !strings.HasPrefix(s.Worker, "heir-") {
			t.Errorf("want a second attempt by an heir after one crash: %s, by %s", describe(&v), s.Worker)
		}
		times = append(times, s.StartedAt.Sub(killed[v.ID]))
	}
	slices.Sort(times)
	p50, p99 := times[trials/2-1], times[trials-1]
	t.Logf("take-over after SIGKILL, TTL 20s, %d trials: min %.1fs, p50 %.1fs, p99 %.1fs", trials, times[0].Seconds(), p50.Seconds(), p99.Seconds())
	if p50 > 22*time.Second || p99 > 30*time.Second {
		t.Errorf("take-over took p50 %s and p99 %s, promised are 22 s and 30 s", p50, p99)
	}
}
