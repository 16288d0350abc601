//go:build integration

package soak_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell"
	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// hang is when a client gives up on an answer, which is a failure of the test.
const hang = 20 * time.Second

// stage is a stack of real processes, this test binary again, on a Redis of the test's own.
type stage struct {
	*demo.Stack
	redis  *redis.Client
	store  *redisstore.Store
	client *http.Client
}

// newStage starts an API, which gets env, and workers.
func newStage(t *testing.T, workers, concurrency int, env ...string) *stage {
	t.Helper()
	server := redistest.Own(t, localredis.Options{})
	s := &stage{redis: redistest.Client(t, server), client: &http.Client{Timeout: hang, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	t.Cleanup(s.client.CloseIdleConnections)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if s.store, err = redisstore.Open(t.Context(), s.redis, redisstore.Config{}); err != nil {
		t.Fatal(err)
	}
	s.register(t, server.URL)
	if s.Stack, err = demo.StartStack(t.Context(), demo.Options{Binary: self, Dir: t.TempDir(), RedisURL: server.URL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if len(env) > 0 {
		s.restartAPI(t, env...)
	}
	for range workers {
		if _, err := s.StartWorker(t.Context(), "STEPWELL_WORKER_CONCURRENCY="+strconv.Itoa(concurrency), "STEPWELL_WORKER_GRACE=6s"); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *stage) restartAPI(t *testing.T, env ...string) {
	t.Helper()
	if err := s.API.Stop(); err != nil {
		t.Fatal(err)
	}
	s.client.CloseIdleConnections()
	if err := s.StartAPI(t.Context(), env...); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) register(t *testing.T, url string) {
	t.Helper()
	c, err := stepwell.NewClient(stepwell.Config{RedisURL: url})
	if err != nil {
		t.Fatal(err)
	}
	for _, wf := range workflows() {
		if err := c.Register(t.Context(), wf); err != nil {
			t.Error(err)
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// answer is what a client got for a start.
type answer struct {
	status int
	code   string // of a refusal
	after  int    // Retry-After, s
	run    string
	took   time.Duration
}

// post starts a run.
func (s *stage) post(ctx context.Context, workflow, key string, in job) (answer, error) {
	body, err := json.Marshal(map[string]any{"workflow": "soak/" + workflow, "input": in, "labels": map[string]string{"kind": workflow}})
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.APIURL+"/v1/runs", bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	req.GetBody = nil // a request that is repeated is repeated here
	began := time.Now()
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	var said struct {
		ID   string `json:"id"`
		Code string `json:"code"`
	}
	err = json.NewDecoder(resp.Body).Decode(&said)
	after, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 where there is none
	return answer{status: resp.StatusCode, code: said.Code, after: after, run: said.ID, took: time.Since(began)}, err
}

// books are a client's: what it asked for and what it was told. Its methods may be called from several goroutines.
type books struct {
	mu       sync.Mutex
	accepted map[string]string // key → run
	refused  map[string]int    // key → times
	codes    map[string]int    // of refusals
	wrong    []string          // neither 202 nor 503 with Retry-After; the first few
	slowest  time.Duration
}

func newBooks() *books {
	return &books{accepted: map[string]string{}, refused: map[string]int{}, codes: map[string]int{}}
}

// enter notes an answer and returns its status, 0 for none.
func (b *books) enter(key string, a answer, err error) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slowest = max(b.slowest, a.took)
	switch {
	case err == nil && a.run != "" && (a.status == http.StatusAccepted || a.status == http.StatusOK && b.refused[key] > 0): // a refusal may have come too late
		b.accepted[key] = a.run
		return http.StatusAccepted
	case err == nil && a.status == http.StatusServiceUnavailable && a.after > 0:
		b.refused[key]++
		b.codes[a.code]++
	case len(b.wrong) < 10:
		b.wrong = append(b.wrong, fmt.Sprintf("%s: %+v, %v", key, a, err))
	}
	return a.status
}

func (b *books) counts() (accepted, refused int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.accepted), len(b.refused)
}

// pending are the keys whose starts have been refused so far.
func (b *books) pending() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var keys []string
	for key := range b.refused {
		if b.accepted[key] == "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// check fails the test for answers that were not as promised.
func (b *books) check(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.wrong {
		t.Errorf("answered neither 202 nor 503 with Retry-After: %s", w)
	}
	if b.slowest >= hang {
		t.Errorf("the slowest answer took %s", b.slowest)
	}
}

// stats counts runs by state; none when Redis does not say.
func (s *stage) stats(ctx context.Context) map[dag.RunState]int64 {
	stats, err := s.store.Stats(ctx)
	if err != nil {
		return nil
	}
	return stats.Runs
}

// succeeded waits until all that was accepted has succeeded, and demands that nothing else is there.
func (s *stage) succeeded(t *testing.T, limit time.Duration, b *books) {
	t.Helper()
	accepted, _ := b.counts()
	var last map[dag.RunState]int64
	redistest.Await(t, limit, "every accepted run to end", func(ctx context.Context) (bool, string) {
		last = s.stats(ctx)
		return last[dag.RunSucceeded] == int64(accepted), fmt.Sprint(last)
	})
	if len(last) != 1 {
		t.Errorf("%d runs were accepted, and there are %v", accepted, last)
	}
	for key, run := range b.accepted {
		if v, err := s.store.Run(t.Context(), run); err != nil || v.State != dag.RunSucceeded || v.Key != key || v.Steps[0].Attempts != 1 {
			t.Errorf("run %s of key %s: %s, key %s, %+v, %v", run, key, v.State, v.Key, v.Steps, err)
		}
	}
}
