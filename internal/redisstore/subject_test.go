package redisstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
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
		keys, err := s.scan(ctx)
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

// scan lists all keys of the installation.
func (s *subject) scan(ctx context.Context) ([]string, error) {
	var keys []string
	var cursor uint64
	for {
		page, next, err := s.client.Scan(ctx, cursor, "{"+s.prefix+"*", 10_000).Result()
		if err != nil {
			return nil, err
		}
		keys = append(keys, page...)
		if cursor = next; cursor == 0 {
			return keys, nil
		}
	}
}

// Dump reads every key of every partition.
func (s *subject) Dump(ctx context.Context) (enginetest.State, error) {
	state := enginetest.NewState()
	keys, err := s.scan(ctx)
	if err != nil {
		return state, err
	}
	var enter []func()
	_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range keys {
			if _, name, ok := strings.Cut(key, "}:"); ok && strings.HasPrefix(key, "{"+s.prefix+":") {
				enter = append(enter, enterKey(ctx, p, &state, key, name))
			}
		}
		return nil
	})
	if len(enter) == 0 {
		return state, nil // an empty pipeline is nothing to complain of
	}
	for _, e := range enter {
		e()
	}
	return state, err
}

// enterKey reads a key in the pipeline; what it returns enters the key's content into the state.
func enterKey(ctx context.Context, p redis.Pipeliner, state *enginetest.State, key, name string) func() {
	kind, rest, _ := strings.Cut(name, ":")
	switch kind {
	case "run", "out", "steps", "idem", "def":
		cmd := p.HGetAll(ctx, key)
		return func() { enterHash(state, kind, rest, cmd.Val()) }
	case "in":
		cmd := p.Get(ctx, key)
		return func() { state.Inputs[rest] = cmd.Val() }
	case "log":
		cmd := p.LRange(ctx, key, 0, -1)
		return func() { state.Logs[rest] = cmd.Val() }
	}
	cmd := p.ZRangeWithScores(ctx, key, 0, -1)
	return func() {
		target := map[string]map[string]int64{"agenda": state.Agenda, "claims": state.Claims, "doubts": state.Doubts, "dlq": state.DLQ}[kind]
		if kind == "idx" {
			if state.Index[rest] == nil { // the same list of another partition
				state.Index[rest] = map[string]int64{}
			}
			target = state.Index[rest]
		}
		for _, z := range cmd.Val() {
			target[z.Member.(string)] = int64(z.Score)
		}
	}
}

func enterHash(state *enginetest.State, kind, id string, values map[string]string) {
	switch kind {
	case "run":
		state.Runs[id] = values
	case "out":
		state.Outputs[id] = values
	case "idem":
		state.Idem[id] = values
	case "steps":
		steps := map[string]enginetest.Fields{}
		for field, value := range values {
			i := strings.LastIndex(field, ":")
			if steps[field[:i]] == nil {
				steps[field[:i]] = enginetest.Fields{}
			}
			steps[field[:i]][field[i+1:]] = value
		}
		state.Steps[id] = steps
	}
}
