//go:build integration

package bars_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stepwell/stepwell"
	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// The environment of a role.
const (
	envRole        = "SW_ROLE"  // worker or sweeper
	envRedis       = "SW_REDIS" // URL
	envName        = "SW_NAME"
	envQueues      = "SW_QUEUES" // separated by commas
	envConcurrency = "SW_CONCURRENCY"
	envTTL         = "SW_TTL"     // of claims; a third of it, at most 5 s, is the heartbeat
	envEffects     = "SW_EFFECTS" // file; each finished handler leaves a line
)

// What a step does; the run's input says it.
const (
	doQuick  = "quick"  // at once
	doSleep  = "sleep"  // takes Millis
	doHang   = "hang"   // never returns in its first attempt
	doPoison = "poison" // takes its process along
	doFail   = "fail"   // fails for good
	doRetry  = "retry"  // fails once, and is tried again after Millis
)

const handler = "bars.do"

type job struct {
	Do     string `json:"do"`
	Millis int    `json:"millis,omitempty"`
}

// workflow has steps in a line, all on one queue.
func workflow(name, queue string, steps int) *dag.Workflow {
	wf := &dag.Workflow{
		Namespace: "bars", Name: name, Version: "1.0.0", Timeout: 12 * time.Hour,
		Defaults: dag.Defaults{Queue: queue, Timeout: 10 * time.Minute, Retry: dag.RetryPolicy{MaxAttempts: 3, BaseDelay: time.Second}},
	}
	for i := range steps {
		s := dag.Step{Name: "s" + strconv.Itoa(i), Handler: handler}
		if i > 0 {
			s.DependsOn = []string{"s" + strconv.Itoa(i-1)}
		}
		wf.Steps = append(wf.Steps, s)
	}
	return wf
}

func handle(ctx context.Context, s *tasks.Step) (int, error) {
	in, err := tasks.Input[job](s)
	if err != nil {
		return 0, err
	}
	pause := time.NewTimer(time.Duration(in.Millis) * time.Millisecond)
	defer pause.Stop()
	switch {
	case in.Do == doPoison:
		os.Exit(3)
	case in.Do == doHang && s.Attempt() == 1:
		<-ctx.Done()
		return 0, ctx.Err()
	case in.Do == doFail:
		return 0, tasks.Permanent("BROKEN", errors.New("it is broken"))
	case in.Do == doRetry && s.Attempt() == 1:
		return 0, tasks.RetryAfter(errors.New("not yet"), time.Duration(in.Millis)*time.Millisecond)
	case in.Do == doSleep:
		select {
		case <-pause.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return os.Getpid(), leaveTrace(s.EffectKey())
}

// leaveTrace is an effect that counts each time.
func leaveTrace(key string) error {
	name := os.Getenv(envEffects)
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, key)
	return errors.Join(err, f.Close())
}

func playRole(name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if name == "sweeper" {
		return playSweeper(ctx, log)
	}
	c, err := stepwell.NewClient(stepwell.Config{RedisURL: os.Getenv(envRedis), Log: log})
	if err != nil {
		return err
	}
	concurrency, err := strconv.Atoi(os.Getenv(envConcurrency))
	if err != nil {
		return err
	}
	ttl, err := time.ParseDuration(os.Getenv(envTTL))
	if err != nil {
		return err
	}
	queues := map[string]int{}
	for q := range strings.SplitSeq(os.Getenv(envQueues), ",") {
		queues[q] = 1
	}
	reg := tasks.NewRegistry()
	tasks.Handle(reg, handler, handle)
	w, err := stepwell.NewWorker(c, reg, stepwell.WorkerConfig{
		Queues: queues, Concurrency: concurrency, TTL: ttl, Name: os.Getenv(envName), Grace: 6 * time.Second,
	})
	if err != nil {
		return err
	}
	return errors.Join(w.Run(ctx), c.Close(context.WithoutCancel(ctx)))
}

// playSweeper does what an API process without requests does.
func playSweeper(ctx context.Context, log *slog.Logger) error {
	client, err := redisstore.Connect(redisstore.Options{URL: os.Getenv(envRedis), Profile: redisstore.Quick})
	if err != nil {
		return err
	}
	store, err := redisstore.Open(ctx, client, redisstore.Config{})
	if err != nil {
		return err
	}
	queue, err := asynqueue.NewQueue(client, asynqueue.Options{})
	if err != nil {
		return err
	}
	e, err := engine.New(store, queue, definition.NewSchemas(), engine.Config{Log: log})
	if err != nil {
		return err
	}
	return errors.Join(e.Run(ctx), client.Close())
}
