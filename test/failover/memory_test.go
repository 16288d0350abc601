//go:build integration

package failover_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// TestMemory lowers Redis's memory limit under load, first so that 90 % of it are used, then below what is used, and raises it again. New runs are refused
// as long, first by the API's look at the memory, then by Redis itself; nothing that was accepted is lost, and all goes on when there is memory.
func TestMemory(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t, localredis.Options{})
	admin := redistest.Client(t, server)
	// So that the last tenth of the memory is some megabytes. Redis fills it by itself: to be sent that much takes longer than a busy machine's patience.
	if err := admin.SetRange(t.Context(), "ballast", 64<<20, "x").Err(); err != nil {
		t.Fatal(err)
	}
	l := newLab(t, labConfig{options: redisstore.Options{URL: server.URL}})
	load := l.load(t)
	load.reaches(t, 50, limitService, "starts before memory is scarce", everyRun)

	setMemory(t, admin, used(t, admin)*100/93)
	refusedFor(t, l, "memory is nearly full")
	open := runs(t, admin)
	redistest.Await(t, limitEnd, "what was accepted to end", func(ctx context.Context) (bool, string) {
		stats, err := l.store.Stats(ctx)
		return err == nil && stats.Runs["running"] == 0, strconv.FormatInt(stats.Runs["running"], 10) + " are open"
	})
	if now := runs(t, admin); now != open {
		t.Errorf("%d runs, and %d before: some were created although memory was nearly full", now, open)
	}
	setMemory(t, admin, 0)
	load.reaches(t, 50, limitService, "starts when there is memory again", everyRun)

	setMemory(t, admin, used(t, admin)/2)
	refusedFor(t, l, "memory is used up")
	client := connect(t, redisstore.Options{URL: server.URL}, redisstore.Quick) // of a process that starts now, and has no loops
	store, err := redisstore.Open(t.Context(), client, redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	other := newEngine(t, client, store)
	if _, err := other.Start(t.Context(), engine.StartRequest{Workflow: "lab/order", Key: "by another process"}); !errors.Is(err, engine.ErrMemory) {
		t.Errorf("a start from another process: %v", err)
	}
	if again, err := other.Start(t.Context(), engine.StartRequest{Workflow: "lab/order", Key: "0-0"}); err != nil || !again.Replayed {
		t.Errorf("a repetition from another process: %v", err)
	}
	setMemory(t, admin, 0)
	load.reaches(t, 50, 2*limitService, "starts when there is memory at last", everyRun)
	load.books(t)
}

func used(t *testing.T, admin *redis.Client) int {
	t.Helper()
	n, err := strconv.Atoi(redistest.Info(t.Context(), admin, "memory")["used_memory"])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func setMemory(t *testing.T, admin *redis.Client, limit int) {
	t.Helper()
	if err := admin.ConfigSet(t.Context(), "maxmemory", strconv.Itoa(limit)).Err(); err != nil {
		t.Fatal(err)
	}
}

// refusedFor waits until a start is refused for lack of memory.
func refusedFor(t *testing.T, l *lab, why string) {
	t.Helper()
	n := 0
	redistest.Await(t, limitService, why+": a start to be refused", func(ctx context.Context) (bool, string) {
		n++
		_, err := l.api.Start(ctx, engine.StartRequest{Workflow: "lab/order", Key: why + strconv.Itoa(n)})
		return errors.Is(err, engine.ErrMemory), "accepted"
	})
}

// runs counts the runs that there are.
func runs(t *testing.T, admin *redis.Client) int64 {
	t.Helper()
	var n int64
	for p := range dag.Partitions {
		c, err := admin.ZCard(t.Context(), fmt.Sprintf("{sw:%02x}:idx:all", p)).Result()
		if err != nil {
			t.Fatal(err)
		}
		n += c
	}
	return n
}
