//go:build integration

package bars_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
)

// clockTick is the unit of the times in /proc/PID/stat, 1/100 s on Linux.
const clockTick = 10 * time.Millisecond

// cpu is the time that a process has used.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	var ticks int
	for _, f := range fields[11:13] { // user and system time
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick
}

// TestHundredThousandWaitingRunsCostLittle looks at what sweepers and Redis spend on runs that wait for a worker that is not there. It runs alone, before
// the tests that share the processors.
func TestHundredThousandWaitingRunsCostLittle(t *testing.T) {
	const open, sweepers, span = 100_000, 6, 40 * time.Second
	l := newLab(t, localredis.Options{})
	l.register(t, workflow("waiting", "waiting", 1))
	var pids []int
	for i := range sweepers {
		pids = append(pids, l.process(t, "sweeper", fmt.Sprintf("sweeper-%d", i), "", 1, defaultTTL).PID)
	}
	l.start(t, "waiting", jobs(open, job{Do: doQuick})...)
	l.handedOver(t, 2*time.Minute, open)
	server, err := strconv.Atoi(redistest.Info(t.Context(), redistest.Client(t, l.redis), "server")["process_id"])
	if err != nil {
		t.Fatal(err)
	}
	l.lookedAt(t) // the first look is due 30 s after the hand-over: from then on there is always one to do
	spent := func() (ours, redis time.Duration) {
		for _, pid := range pids {
			ours += cpu(t, pid)
		}
		return ours, cpu(t, server)
	}
	ours, redis := spent()
	from := time.Now()
	<-time.After(span)
	ours2, redis2 := spent()
	took := time.Since(from)
	ourShare, redisShare := float64(ours2-ours)/float64(took), float64(redis2-redis)/float64(took)
	t.Logf("%d waiting runs, %d sweepers: %.1f %% of a core in all of them, %.1f %% in Redis", open, sweepers, 100*ourShare, 100*redisShare)
	if ourShare > 0.05 || redisShare > 0.05 {
		t.Errorf("sweepers use %.1f %% of a core and Redis %.1f %%; promised are 5 %% each", 100*ourShare, 100*redisShare)
	}
}

// lookedAt waits until steps in doubt have begun to be looked at.
func (l *lab) lookedAt(t *testing.T) {
	t.Helper()
	redistest.Await(t, time.Minute, "steps are looked at", func(ctx context.Context) (bool, string) {
		reply, err := l.raw.ZRangeWithScores(ctx, "{sw:00}:doubts", -1, -1).Result()
		if err != nil || len(reply) == 0 {
			return false, fmt.Sprint(err)
		}
		ahead := time.Until(time.UnixMilli(int64(reply[0].Score)))
		return ahead > 31*time.Second, fmt.Sprintf("the last look is due in %s", ahead)
	})
}
