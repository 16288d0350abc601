//go:build integration

package failover_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

const (
	labTTL       = 6 * time.Second // of claims, so that a take-over takes no 20 s
	labHeartbeat = time.Second
	labGrace     = 7 * time.Second
)

// labWorkflow forks after its first step and joins in its last.
func labWorkflow() *dag.Workflow {
	retry := dag.RetryPolicy{MaxAttempts: 5, Backoff: dag.BackoffConstant, BaseDelay: time.Second}
	return &dag.Workflow{
		Namespace: "lab", Name: "order", Version: "1.0.0", Defaults: dag.Defaults{Timeout: 30 * time.Second, Retry: retry},
		Steps: []dag.Step{
			{Name: "take", Handler: "lab.effect"},
			{Name: "pay", Handler: "lab.effect", DependsOn: []string{"take"}},
			{Name: "pack", Handler: "lab.effect", DependsOn: []string{"take"}},
			{Name: "send", Handler: "lab.effect", DependsOn: []string{"pay", "pack"}},
		},
	}
}

// ledger is a provider that honours effect keys: asked again with a key it does nothing more.
type ledger struct {
	mu    sync.Mutex
	calls map[string]map[string]int // run → effect key → calls
}

func (l *ledger) effect(run, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[run] == nil {
		l.calls[run] = map[string]int{}
	}
	l.calls[run][key]++
}

// effects are the keys under which a run had an effect, with the number of calls.
func (l *ledger) effects(run string) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[run]
}

// lab is an API and a worker in this process, each with connections of its own, as the product builds them.
type lab struct {
	api    *engine.Engine
	store  *redisstore.Store     // of the worker: patient
	client redis.UniversalClient // of the worker
	ledger *ledger
	warned []string
}

// labConfig is what differs between labs.
type labConfig struct {
	options  redisstore.Options // URL and TLS
	replicas int                // that must confirm a start
	idle     bool               // no worker: what is started waits
}

func newLab(t *testing.T, cfg labConfig) *lab {
	t.Helper()
	l := &lab{ledger: &ledger{calls: map[string]map[string]int{}}}
	warn := func(text string) { l.warned = append(l.warned, text) }
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var loops errgroup.Group
	quick := connect(t, cfg.options, redisstore.Quick)
	l.client = connect(t, cfg.options, redisstore.Patient)
	t.Cleanup(func() { // before the clients are closed, in the reverse order
		stop()
		if err := loops.Wait(); err != nil {
			t.Error(err)
		}
	})
	starts, err := redisstore.Open(ctx, quick, redisstore.Config{StrictReplicas: cfg.replicas, Warn: warn})
	if err != nil {
		t.Fatal(err)
	}
	l.api = newEngine(t, quick, starts)
	if err := l.api.Register(ctx, labWorkflow(), ""); err != nil {
		t.Fatal(err)
	}
	loops.Go(func() error { return l.api.Run(ctx) })

	if l.store, err = redisstore.Open(ctx, l.client, redisstore.Config{}); err != nil {
		t.Fatal(err)
	}
	if cfg.idle {
		return l
	}
	work := newEngine(t, l.client, l.store)
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "lab.effect", func(_ context.Context, s *tasks.Step) (string, error) {
		l.ledger.effect(s.Run(), s.EffectKey())
		return s.EffectKey(), nil
	})
	w, err := asynqueue.NewWorker(work, reg, asynqueue.WorkerOptions{
		Client: l.client, Queues: map[string]int{"lab": 1}, Concurrency: 10, Grace: labGrace, Heartbeat: labHeartbeat, Log: silent(),
	})
	if err != nil {
		t.Fatal(err)
	}
	loops.Go(func() error { return work.Run(ctx) })
	loops.Go(func() error { return w.Run(ctx) })
	return l
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func connect(t *testing.T, o redisstore.Options, profile redisstore.Profile) redis.UniversalClient {
	t.Helper()
	o.Profile = profile
	client, err := redisstore.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newEngine(t *testing.T, client redis.UniversalClient, store *redisstore.Store) *engine.Engine {
	t.Helper()
	queue, err := asynqueue.NewQueue(client, asynqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(store, queue, definition.NewSchemas(), engine.Config{TTL: labTTL, Log: silent()})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
