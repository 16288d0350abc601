//go:build integration

package bars_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell"
	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

const defaultTTL = "20s"

// lab is a Redis of the test's own, a client, and processes.
type lab struct {
	redis     *localredis.Server
	url       string // that processes use
	raw       redis.UniversalClient
	store     *redisstore.Store
	client    *stepwell.Client
	inspector *asynq.Inspector
	dir       string
}

func newLab(t *testing.T, opts localredis.Options) *lab {
	t.Helper()
	l := &lab{redis: redistest.Own(t, opts), dir: t.TempDir()}
	l.url = l.redis.URL
	var err error
	if l.raw, err = redisstore.Connect(redisstore.Options{URL: l.url, Profile: redisstore.Patient}); err != nil {
		t.Fatal(err)
	}
	if l.store, err = redisstore.Open(t.Context(), l.raw, redisstore.Config{}); err != nil {
		t.Fatal(err)
	}
	if l.client, err = stepwell.NewClient(stepwell.Config{RedisURL: l.url}); err != nil {
		t.Fatal(err)
	}
	l.inspector = asynq.NewInspectorFromRedisClient(l.raw)
	t.Cleanup(func() {
		if err := l.client.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := l.raw.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *lab) register(t *testing.T, all ...*dag.Workflow) {
	t.Helper()
	for _, wf := range all {
		if err := l.client.Register(t.Context(), wf); err != nil {
			t.Fatal(err)
		}
	}
}

func (l *lab) effectsFile() string { return filepath.Join(l.dir, "effects") }

// effects counts the lines of each effect key.
func (l *lab) effects(t *testing.T) map[string]int {
	t.Helper()
	raw, err := os.ReadFile(l.effectsFile())
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(raw)) {
		count[strings.TrimSpace(line)]++
	}
	return count
}

func (l *lab) command(t *testing.T, role, name, queues string, concurrency int, ttl string) demo.Command {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return demo.Command{Binary: self, LogDir: l.dir, Env: []string{
		envRole + "=" + role, envRedis + "=" + l.url, envName + "=" + name, envQueues + "=" + queues,
		fmt.Sprintf("%s=%d", envConcurrency, concurrency), envTTL + "=" + ttl, envEffects + "=" + l.effectsFile(),
	}}
}

// process starts a role that is stopped in good order at the end of the test, unless it has ended before.
func (l *lab) process(t *testing.T, role, name, queues string, concurrency int, ttl string) *demo.Process {
	t.Helper()
	p, err := demo.StartProcess(name, l.command(t, role, name, queues, concurrency, ttl))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-p.Done():
			return
		default:
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// start starts n runs side by side and returns their IDs in the order of the inputs.
func (l *lab) start(t *testing.T, workflow string, inputs ...job) []string {
	t.Helper()
	ids := make([]string, len(inputs))
	var g errgroup.Group
	g.SetLimit(16)
	for i, in := range inputs {
		g.Go(func() error {
			run, err := l.client.Start(t.Context(), "bars/"+workflow, in, stepwell.StartOptions{})
			ids[i] = run.ID
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return ids
}

func (l *lab) view(ctx context.Context, run string) dag.RunView {
	v, err := l.store.Run(ctx, run)
	if err != nil {
		return dag.RunView{ID: run}
	}
	return v
}

// all waits until a condition holds for every run, and returns their views.
func (l *lab) all(t *testing.T, limit time.Duration, what string, runs []string, holds func(v *dag.RunView) bool) []dag.RunView {
	t.Helper()
	var mu sync.Mutex
	done := map[string]dag.RunView{}
	redistest.Await(t, limit, what, func(ctx context.Context) (bool, string) {
		missing := ""
		var g errgroup.Group
		g.SetLimit(8)
		for _, id := range runs {
			mu.Lock()
			_, ok := done[id]
			mu.Unlock()
			if ok {
				continue
			}
			g.Go(func() error {
				v := l.view(ctx, id)
				mu.Lock()
				defer mu.Unlock()
				if holds(&v) {
					done[id] = v
				} else {
					missing = describe(&v)
				}
				return nil
			})
		}
		_ = g.Wait() // no function returns an error
		return len(done) == len(runs), fmt.Sprintf("%d of %d; not yet %s", len(done), len(runs), missing)
	})
	views := make([]dag.RunView, len(runs))
	for i, id := range runs {
		views[i] = done[id]
	}
	return views
}

func describe(v *dag.RunView) string {
	parts := []string{v.ID, string(v.State)}
	for i := range v.Steps {
		s := &v.Steps[i]
		parts = append(parts, fmt.Sprintf("%s=%s@%d (attempts %d, failures %d, crashes %d)", s.Name, s.State, s.Epoch, s.Attempts, s.Failures, s.Crashes))
	}
	return strings.Join(parts, " ")
}

func running(v *dag.RunView) bool {
	return slices.ContainsFunc(v.Steps, func(s dag.StepView) bool { return s.State == dag.StepRunning })
}

func ended(v *dag.RunView) bool { return v.State.Ended() }

func succeeded(v *dag.RunView) bool { return v.State == dag.RunSucceeded }

// jobs are n times the same.
func jobs(n int, j job) []job { return slices.Repeat([]job{j}, n) }
