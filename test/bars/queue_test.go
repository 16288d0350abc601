//go:build integration

package bars_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// handedOver waits until no delivery waits to be handed over.
func (l *lab) handedOver(t *testing.T, limit time.Duration, doubts int64) {
	t.Helper()
	redistest.Await(t, limit, "every delivery is handed over", func(ctx context.Context) (bool, string) {
		n, err := l.count(ctx, "doubts")
		return n >= doubts, fmt.Sprintf("%d of %d in doubt, err %v", n, doubts, err)
	})
}

// count adds up the entries of a set over all partitions.
func (l *lab) count(ctx context.Context, set string) (n int64, err error) {
	for p := range dag.Partitions {
		one, err := l.raw.ZCard(ctx, fmt.Sprintf("{sw:%02x}:%s", p, set)).Result()
		if err != nil {
			return n, err
		}
		n += one
	}
	return n, nil
}

// TestWipedQueueFillsAgain deletes all of asynq's keys under 10,000 open runs.
func TestWipedQueueFillsAgain(t *testing.T) {
	t.Parallel()
	const open = 10_000
	l := newLab(t, localredis.Options{})
	l.register(t, workflow("wiped", "wiped", 1))
	for i := range 3 {
		l.process(t, "sweeper", fmt.Sprintf("sweeper-%d", i), "", 1, defaultTTL)
	}
	runs := l.start(t, "wiped", jobs(open, job{Do: doQuick})...)
	l.handedOver(t, time.Minute, open)
	keys, err := l.raw.Keys(t.Context(), "asynq:*").Result()
	if err != nil || len(keys) < open {
		t.Fatalf("%d keys of asynq, %v; want at least %d", len(keys), err, open)
	}
	wiped := time.Now()
	for len(keys) > 0 {
		n := min(1000, len(keys))
		if err := l.raw.Unlink(t.Context(), keys[:n]...).Err(); err != nil {
			t.Fatal(err)
		}
		keys = keys[n:]
	}
	const pending = "asynq:{wiped}:pending"
	const window = 20 * time.Second // long enough that a round more or less of the sweepers, which make one a second, changes the rate by 5 % only
	var first, last time.Time
	var before, began int64
	fastest := 0.0
	redistest.Await(t, 170*time.Second, "the queue is full again", func(ctx context.Context) (bool, string) {
		n, err := l.raw.LLen(ctx, pending).Result()
		now := time.Now()
		if n > 0 && first.IsZero() {
			first, last, before, began = now, now, n, n
		}
		if took := now.Sub(last); !first.IsZero() && took >= window {
			fastest = max(fastest, float64(n-before)/took.Seconds())
			last, before = now, n
		}
		return n >= open, fmt.Sprintf("%d pending, %v", n, err)
	})
	refilled := time.Since(wiped)
	fastest = max(fastest, float64(open-began)/time.Since(first).Seconds())
	t.Logf("10,000 open runs, all keys of asynq deleted: the first task is back after %.0fs, all after %.0fs, at most %.0f/s over %s or all of it",
		first.Sub(wiped).Seconds(), refilled.Seconds(), fastest, window)
	if refilled > 150*time.Second || fastest > 550 {
		t.Errorf("refilled in %s at up to %.0f/s; promised are 150 s and 500/s", refilled, fastest)
	}
	for i := range 2 {
		l.process(t, "worker", fmt.Sprintf("worker-%d", i), "wiped", 40, defaultTTL)
	}
	for _, v := range l.all(t, 2*time.Minute, "every run has succeeded", runs, succeeded) {
		if v.Steps[0].Attempts != 1 {
			t.Errorf("want one attempt: %s", describe(&v))
		}
	}
}
