//go:build integration

package soak_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// TestOverload sends for a while five times what drains. Handlers are slow, so that this is no more than a machine of two processors carries.
func TestOverload(t *testing.T) {
	t.Parallel()
	const (
		workers, concurrency = 2, 4
		times                = 5
		lasts                = 8 * time.Second
	)
	slow := job{Millis: 400}
	s := newStage(t, workers, concurrency)
	b := newBooks()
	drain := s.drain(t, b, slow, 10*workers*concurrency)
	began, runs := time.Now(), int(times*drain*lasts.Seconds())
	s.offer(t, b, times*drain, runs, slow)
	took := time.Since(began)
	open := s.stats(t.Context())[dag.RunRunning]
	accepted, refused := b.counts()
	t.Logf("%.1f runs a second drain, %.1f were offered for %s: %d accepted in all, %d refused %v, the slowest answer after %s, %d open at the end",
		drain, float64(runs)/took.Seconds(), took.Round(time.Second), accepted, refused, b.codes, b.slowest.Round(time.Millisecond), open)
	if open < int64(runs/2) {
		t.Errorf("%d of %d runs are open: that was no overload", open, runs)
	}
	b.check(t)
	for _, key := range b.pending() { // as a client does
		s.until(t, b, "single", key, slow)
	}
	s.succeeded(t, time.Minute+3*time.Duration(float64(open)/drain*float64(time.Second)), b)
	b.check(t)
}

func (b *books) total() int {
	accepted, refused := b.counts()
	return accepted + refused
}

// drain measures how many runs a second end while more wait.
func (s *stage) drain(t *testing.T, b *books, in job, runs int) float64 {
	t.Helper()
	s.offer(t, b, 1000, runs, in)
	if accepted, refused := b.counts(); accepted != runs || refused > 0 {
		t.Fatalf("%d of %d runs accepted, %d refused", accepted, runs, refused)
	}
	s.succeeded(t, time.Minute, b)
	var first, last time.Time
	for _, run := range b.accepted {
		v, err := s.store.Run(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		if first.IsZero() || v.FinishedAt.Before(first) {
			first = v.FinishedAt
		}
		if v.FinishedAt.After(last) {
			last = v.FinishedAt
		}
	}
	return float64(runs-1) / last.Sub(first).Seconds()
}

// offer starts so many runs at a steady rate, whatever becomes of those before, and returns when all are answered.
func (s *stage) offer(t *testing.T, b *books, rate float64, runs int, in job) {
	t.Helper()
	var clients errgroup.Group
	clients.SetLimit(256) // so that a server that hangs does not cost the test's memory
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	before := b.total()
	for n := range runs {
		key := fmt.Sprintf("offer-%d-%d", before, n)
		clients.Go(func() error {
			a, err := s.post(t.Context(), "single", key, in)
			b.enter(key, a, err)
			return nil
		})
		<-tick.C
	}
	_ = clients.Wait() // no function returns an error
}

// until repeats a start, as often as it is refused, until it is accepted.
func (s *stage) until(t *testing.T, b *books, workflow, key string, in job) {
	t.Helper()
	redistest.Await(t, time.Minute, "start "+key+" to be accepted", func(ctx context.Context) (bool, string) {
		a, err := s.post(ctx, workflow, key, in)
		return b.enter(key, a, err) == http.StatusAccepted, fmt.Sprintf("%+v, %v", a, err)
	})
}

// Of TestFullRedis: Redis begins at this part of its limit, in percent, with enough in it that the last tenth is some megabytes. Once it is nearly full the
// limit is taken to where it is so beyond doubt, because buffers of connections come and go.
const (
	fullFrom   = 82
	fullBeyond = 93
	ballastMiB = 64
)

// TestFullRedis starts large runs until Redis is nearly full, then takes the limit below what is used, and then away.
func TestFullRedis(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, 2)
	b := newBooks()
	large := job{Millis: 1000, Pad: strings.Repeat("x", 32<<10)}
	if err := s.redis.SetRange(t.Context(), "ballast", ballastMiB<<20-1, "x").Err(); err != nil {
		t.Fatal(err)
	}
	limit := s.memory(t, "used_memory") * 100 / fullFrom
	s.limit(t, limit)
	s.fill(t, b, large)
	used := float64(s.memory(t, "used_memory")) / float64(limit)
	accepted, _ := b.counts()
	t.Logf("refused from %.1f %% of the limit on, after %d runs", used*100, accepted)
	if used < 0.89 || used > 0.97 {
		t.Errorf("new runs are refused at %.1f %% of the limit", used*100)
	}
	s.limit(t, s.memory(t, "used_memory")*100/fullBeyond)
	s.refuses(t, b, large, "nearly full")
	s.replays(t, b, large)

	open := s.stats(t.Context())[dag.RunRunning]
	if open == 0 {
		t.Error("no run was open when the limit was taken below what is used")
	}
	there := s.runs(t)
	s.limit(t, s.memory(t, "used_memory")/2)
	s.refuses(t, b, large, "used up")
	s.replays(t, b, large)
	if now := s.runs(t); now != there {
		t.Errorf("%d runs when memory was used up, and %d a moment later", there, now)
	}
	t.Logf("%d of %d runs were open when memory was used up; refusals %v, the slowest answer after %s", open, there, b.codes, b.slowest.Round(time.Millisecond))

	s.limit(t, 0)
	for _, key := range b.pending() {
		s.until(t, b, "single", key, large)
	}
	s.succeeded(t, 3*time.Minute, b)
	b.check(t)
}

// fill starts runs, four at a time, until one is refused.
func (s *stage) fill(t *testing.T, b *books, in job) {
	t.Helper()
	const most = 4000
	errFull := errors.New("full")
	clients, ctx := errgroup.WithContext(t.Context())
	clients.SetLimit(4)
	for n := range most {
		if ctx.Err() != nil {
			break
		}
		clients.Go(func() error {
			key := "fill-" + strconv.Itoa(n)
			a, err := s.post(t.Context(), "single", key, in)
			if b.enter(key, a, err) != http.StatusAccepted {
				return errFull
			}
			return nil
		})
	}
	if err := clients.Wait(); !errors.Is(err, errFull) {
		t.Fatalf("%d runs of 32 KiB, and none was refused", most)
	}
}

// refuses demands that starts are refused for lack of memory for some seconds, several looks of the API at it, and never accepted.
func (s *stage) refuses(t *testing.T, b *books, in job, why string) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(5 * time.Second)
	defer over.Stop()
	for n := 0; ; n++ {
		key := why + " " + strconv.Itoa(n)
		a, err := s.post(t.Context(), "single", key, in)
		b.enter(key, a, err)
		if err != nil || a.status != http.StatusServiceUnavailable || a.code != "out_of_memory" {
			t.Errorf("memory is %s, and a start is answered %+v, %v", why, a, err)
		}
		select {
		case <-tick.C:
			continue
		case <-over.C:
		}
		return
	}
}

// replays demands that a start that was accepted is answered with its run again, and that the run can be read.
func (s *stage) replays(t *testing.T, b *books, in job) {
	t.Helper()
	for key, run := range b.accepted {
		if a, err := s.post(t.Context(), "single", key, in); err != nil || a.status != http.StatusOK || a.run != run {
			t.Errorf("the repetition of an accepted start is answered %+v, %v", a, err)
		}
		return
	}
}

func (s *stage) memory(t *testing.T, name string) int {
	t.Helper()
	n, err := strconv.Atoi(redistest.Info(t.Context(), s.redis, "memory")[name])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (s *stage) limit(t *testing.T, bytes int) {
	t.Helper()
	if err := s.redis.ConfigSet(t.Context(), "maxmemory", strconv.Itoa(bytes)).Err(); err != nil {
		t.Fatal(err)
	}
}

// runs counts the runs that there are.
func (s *stage) runs(t *testing.T) (n int64) {
	t.Helper()
	for _, of := range s.stats(t.Context()) {
		n += of
	}
	return n
}
