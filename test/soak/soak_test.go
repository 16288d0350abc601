//go:build integration

package soak_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/test/soak"
)

const (
	smoke = 20 * time.Second // of load where nothing else is asked for
	// judged is the shortest load whose series tell something.
	judged = 3 * time.Minute
	// sweepSlack is the time from the end of the retention to the removal on a busy machine.
	sweepSlack = 45 * time.Second
)

// TestSoak keeps an API and two workers under a steady light load, with the shortest retention there is, and looks at what they use, and at what is left
// in the end.
func TestSoak(t *testing.T) {
	t.Parallel()
	lasts, rate := soakTime(t), soakRate(t)
	keep := []string{"STEPWELL_RUNS_RETENTION=" + retention.String(), "STEPWELL_RUNS_RETENTION_FAILED=" + retention.String()}
	s := newStage(t, 2, 10, keep...)
	m, b := newSampler(s), newBooks()

	sampling, stop := context.WithCancel(t.Context())
	var looks errgroup.Group
	looks.Go(func() error { m.run(sampling); return nil })
	s.mix(t, b, rate, lasts)
	stop()
	_ = looks.Wait() // the function returns no error
	for _, key := range b.pending() {
		workflow, in := mixed(key)
		s.until(t, b, workflow, key, in)
	}
	accepted, refused := b.counts()
	t.Logf("%d runs in %s, %d refused at first, the slowest answer after %s\n%s",
		accepted, lasts, refused, b.slowest.Round(time.Millisecond), soak.Text(m.all, int(warmUp/sampleEvery)))
	draw(t, m)
	b.check(t)
	if lasts >= judged {
		m.judge(t)
	}
	s.purged(t, accepted)
	s.leftovers(t, keep)
}

func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SW_SOAK")
	if text == "" {
		return smoke
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		t.Fatalf("SW_SOAK = %q, must be a duration of a second at least, such as 30m", text)
	}
	return d
}

func soakRate(t *testing.T) float64 {
	t.Helper()
	text := os.Getenv("SW_SOAK_RATE")
	if text == "" {
		return 20
	}
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || rate <= 0 || rate > 1000 {
		t.Fatalf("SW_SOAK_RATE = %q, must be a number above 0, at most 1000", text)
	}
	return rate
}

func draw(t *testing.T, m *sampler) {
	t.Helper()
	name := os.Getenv("SW_SOAK_CHART")
	if name == "" {
		return
	}
	if err := os.WriteFile(name, []byte(soak.SVG(m.all, int(warmUp/sampleEvery), sampleEvery)), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("the chart is in %s", name)
}

// mix starts runs of all kinds at a steady rate.
func (s *stage) mix(t *testing.T, b *books, rate float64, lasts time.Duration) {
	t.Helper()
	var clients errgroup.Group
	clients.SetLimit(32)
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	over := time.NewTimer(lasts)
	defer over.Stop()
	for n := 0; ; n++ {
		key := strconv.Itoa(n)
		clients.Go(func() error {
			workflow, in := mixed(key)
			a, err := s.post(t.Context(), workflow, key, in)
			b.enter(key, a, err)
			return nil
		})
		select {
		case <-tick.C:
			continue
		case <-over.C:
		}
		break
	}
	_ = clients.Wait() // no function returns an error
}

// mixed is what a key stands for: of ten runs one has a single step, one is tried again, and of twenty one fails.
func mixed(key string) (workflow string, in job) {
	n, _ := strconv.Atoi(key) // keys are numbers
	in = job{Millis: 5, Retry: n%10 == 3, Fail: n%20 == 7, Pad: strings.Repeat("x", n%512)}
	if n%10 == 5 {
		return "single", in
	}
	return "order", in
}

// purged waits until every run that was accepted is removed: that is done only to runs that have ended.
func (s *stage) purged(t *testing.T, accepted int) {
	t.Helper()
	urls := []string{s.APIURL}
	for _, w := range s.Workers() {
		urls = append(urls, w.URL)
	}
	redistest.Await(t, retention+sweepSlack+time.Minute, "every run to be removed", func(ctx context.Context) (bool, string) {
		there := s.stats(ctx)
		return there != nil && len(there) == 0, fmt.Sprint(there)
	})
	// A process counts a moment after it has removed.
	redistest.Await(t, 10*time.Second, "as many runs to be counted as removed as were accepted", func(context.Context) (bool, string) {
		ended, removed := s.total(t, "stepwell_runs_ended_total", urls...), s.total(t, "stepwell_purged_runs_total", urls...)
		return int(removed) == accepted && int(ended) == accepted, fmt.Sprintf("%d accepted, %.0f ended, %.0f removed", accepted, ended, removed)
	})
}

// ofRun finds what belongs to a run.
var ofRun = regexp.MustCompile(`run_[0-9a-f]{2}_`)

// leftovers demands that nothing of any run is left in Redis. asynq's archive is looked at by an audit, which a process begins with.
func (s *stage) leftovers(t *testing.T, keep []string) {
	t.Helper()
	if err := s.StopWorkers(); err != nil {
		t.Error(err)
	}
	s.restartAPI(t, keep...)
	redistest.Await(t, time.Minute, "the archive to be audited", func(ctx context.Context) (bool, string) {
		n, err := s.archived(ctx)
		return err == nil && n == 0, fmt.Sprintf("%d tasks, %v", n, err)
	})
	kinds := map[string]int{}
	partition, date := regexp.MustCompile(`\{sw:[0-9a-f]{2}\}`), regexp.MustCompile(`\d{4}-\d{2}-\d{2}`)
	digest, uuid := regexp.MustCompile(`[0-9a-f]{32}`), regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	keys := s.redis.Scan(t.Context(), 0, "*", 1000).Iterator()
	for keys.Next(t.Context()) {
		key := keys.Val()
		if ofRun.MatchString(key) {
			t.Errorf("key %s is left", key)
		}
		for _, text := range s.content(t, key) {
			if ofRun.MatchString(text) {
				t.Errorf("key %s still has %.200q", key, text)
			}
		}
		kind := digest.ReplaceAllString(partition.ReplaceAllString(key, "{sw:PP}"), "DIGEST")
		kinds[uuid.ReplaceAllString(date.ReplaceAllString(kind, "DATE"), "ID")]++
	}
	if err := keys.Err(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for kind, n := range kinds {
		lines = append(lines, fmt.Sprintf("%5d %s", n, kind))
		if !ours(kind) {
			t.Errorf("%d keys of the kind %s are left, which is none of those that outlive runs", n, kind)
		}
	}
	slices.Sort(lines)
	t.Logf("keys that are left:\n%s", strings.Join(lines, "\n"))
}

// ours tells whether keys of this kind are there as long as the installation is, or are asynq's own books.
func ours(kind string) bool {
	switch kind {
	case "{sw}:install", "{sw}:wf", "{sw}:workers", "{sw}:sweepers", "{sw}:sweep", "{sw:PP}:def:DIGEST", "asynq:queues", "asynq:servers", "asynq:workers":
		return true
	}
	books := regexp.MustCompile(`^asynq:\{` + queue + `\}:(processed|failed)(:DATE)?$|^asynq:(servers|workers):\{.*\}$`)
	return strings.HasPrefix(kind, "{sw}:wf:") || books.MatchString(kind)
}

// content is what a key holds, members and fields included.
func (s *stage) content(t *testing.T, key string) []string {
	t.Helper()
	ctx := t.Context()
	var all []string
	var err error
	switch kind := s.redis.Type(ctx, key).Val(); kind {
	case "string":
		var v string
		v, err = s.redis.Get(ctx, key).Result()
		all = []string{v}
	case "hash":
		var m map[string]string
		m, err = s.redis.HGetAll(ctx, key).Result()
		for field, v := range m {
			all = append(all, field, v)
		}
	case "list":
		all, err = s.redis.LRange(ctx, key, 0, -1).Result()
	case "set":
		all, err = s.redis.SMembers(ctx, key).Result()
	case "zset":
		all, err = s.redis.ZRange(ctx, key, 0, -1).Result()
	case "none": // it has expired since
	default:
		t.Errorf("key %s is a %s", key, kind)
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Error(err)
	}
	return all
}
