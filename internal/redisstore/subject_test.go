package redisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/test/redisdump"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// connect builds a client that is closed at the end of the test.
func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	client, err := redisstore.Connect(redisstore.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// servers are the kinds of Redis that everything is tested on.
func servers(t *testing.T) map[string]redis.UniversalClient {
	t.Helper()
	clients := map[string]redis.UniversalClient{"mini": connect(t, "redis://"+redistest.Mini(t).Addr())}
	if redistest.Shared(t).Kind != localredis.Embedded {
		clients["real"] = connect(t, redistest.URL(t))
	}
	return clients
}

// opener returns an Open whose subjects live side by side on one server, apart by prefix.
func opener(t *testing.T, client redis.UniversalClient) enginetest.Open {
	t.Helper()
	return func(each enginetest.TB) enginetest.Subject {
		each.Helper()
		return newSubject(each, client, redistest.Prefix(t))
	}
}

// subject is a Store whose clock stands still and whose keys can be read.
type subject struct {
	*redisstore.Store
	client redis.UniversalClient
	prefix string
}

func newSubject(t enginetest.TB, client redis.UniversalClient, prefix string) *subject {
	t.Helper()
	store, err := redisstore.OpenWithClock(t.Context(), client, redisstore.Config{Prefix: prefix})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	s := &subject{Store: store, client: client, prefix: prefix}
	if err := s.SetTime(t.Context(), enginetest.Epoch()); err != nil {
		t.Fatalf("set time: %v", err)
	}
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		keys, err := redisdump.Keys(ctx, s.client, s.prefix)
		if err == nil && len(keys) > 0 {
			err = client.Del(ctx, append(keys, redisstore.ClockKey(prefix))...).Err()
		}
		if err != nil {
			t.Fatalf("remove the test's keys: %v", err)
		}
	})
	return s
}

func (s *subject) SetTime(ctx context.Context, now time.Time) error {
	return s.client.Set(ctx, redisstore.ClockKey(s.prefix), now.UnixMilli(), 0).Err()
}

// Dump reads every key of every partition.
func (s *subject) Dump(ctx context.Context) (enginetest.State, error) {
	return redisdump.Read(ctx, s.client, s.prefix)
}
