package redistest_test

import (
	"errors"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestSharedAnswers(t *testing.T) {
	t.Parallel()
	o, err := redis.ParseURL(redistest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	if kind := redistest.Shared(t).Kind; kind == localredis.Embedded && os.Getenv("REQUIRE_REDIS") == "1" {
		t.Error("embedded, although a real one is required")
	}
}

func TestPrefixesDiffer(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)
	seen := map[string]bool{}
	for range 1000 {
		p := redistest.Prefix(t)
		if !form.MatchString(p) || seen[p] {
			t.Fatalf("prefix %q, seen before: %t", p, seen[p])
		}
		seen[p] = true
	}
}

func TestOwnIsNotTheShared(t *testing.T) {
	t.Parallel()
	own := redistest.Own(t, localredis.Options{})
	if own.URL == redistest.URL(t) {
		t.Error("the own server is the shared one")
	}
}

func TestMiniFollowsTheClock(t *testing.T) {
	t.Parallel()
	m := redistest.Mini(t)
	start := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	m.SetTime(start)
	c := redis.NewClient(&redis.Options{Addr: m.Addr()})
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Set(t.Context(), "k", "v", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	m.SetTime(start.Add(59 * time.Second))
	if err := c.Get(t.Context(), "k").Err(); err != nil {
		t.Errorf("before its time: %v", err)
	}
	m.SetTime(start.Add(61 * time.Second))
	if err := c.Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("after its time: %v, want redis.Nil", err)
	}
}
