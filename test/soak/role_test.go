//go:build integration

package soak_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/stepwell/stepwell"
	"github.com/stepwell/stepwell/internal/app"
	"github.com/stepwell/stepwell/internal/config"
	"github.com/stepwell/stepwell/internal/telemetry"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// queue is that of every step here.
const queue = "soak"

// job is the input of a run. Its steps say no more than that they were done.
type job struct {
	Millis int    `json:"millis,omitempty"` // that each step takes
	Retry  bool   `json:"retry,omitempty"`  // the first step fails once
	Fail   bool   `json:"fail,omitempty"`   // the last step fails for good
	Pad    string `json:"pad,omitempty"`
}

// workflows are one of a single step, and one that forks and joins.
func workflows() []*dag.Workflow {
	retry := dag.RetryPolicy{MaxAttempts: 3, Backoff: dag.BackoffConstant, BaseDelay: time.Second}
	defaults := dag.Defaults{Queue: queue, Timeout: time.Minute, Retry: retry}
	return []*dag.Workflow{
		{Namespace: "soak", Name: "single", Version: "1.0.0", Timeout: time.Hour, Defaults: defaults, Steps: []dag.Step{{Name: "only", Handler: "soak.last"}}},
		{Namespace: "soak", Name: "order", Version: "1.0.0", Timeout: time.Hour, Defaults: defaults, Steps: []dag.Step{
			{Name: "take", Handler: "soak.first"},
			{Name: "pay", Handler: "soak.work", DependsOn: []string{"take"}},
			{Name: "pack", Handler: "soak.work", DependsOn: []string{"take"}},
			{Name: "send", Handler: "soak.last", DependsOn: []string{"pay", "pack"}},
		}},
	}
}

func handlers() *tasks.Registry {
	reg := tasks.NewRegistry()
	work := func(ctx context.Context, s *tasks.Step) (job, error) {
		in, err := tasks.Input[job](s)
		if err != nil {
			return in, err
		}
		pause := time.NewTimer(time.Duration(in.Millis) * time.Millisecond)
		defer pause.Stop()
		select {
		case <-pause.C:
			return in, nil
		case <-ctx.Done():
			return in, ctx.Err()
		}
	}
	tasks.Handle(reg, "soak.first", func(ctx context.Context, s *tasks.Step) (string, error) {
		in, err := work(ctx, s)
		if err == nil && in.Retry && s.Attempt() == 1 {
			err = errors.New("not yet")
		}
		return "taken", err
	})
	tasks.Handle(reg, "soak.work", func(ctx context.Context, s *tasks.Step) (string, error) {
		_, err := work(ctx, s)
		return "done", err
	})
	tasks.Handle(reg, "soak.last", func(ctx context.Context, s *tasks.Step) (string, error) {
		in, err := work(ctx, s)
		if err == nil && in.Fail {
			err = tasks.Permanent("BROKEN", errors.New("it is broken"))
		}
		return "sent", err
	})
	return reg
}

// roles are the processes that a stack is made of: the product's API and gateway, and a worker of the public API with the handlers of this test.
func roles() *cobra.Command {
	root := &cobra.Command{Use: "soak"}
	root.AddCommand(app.APICommand("api"), app.GatewayCommand("gateway"), &cobra.Command{
		Use: "worker", RunE: func(cmd *cobra.Command, _ []string) error { return playWorker(cmd.Context()) },
	})
	return root
}

func playWorker(ctx context.Context) error {
	cfg, err := config.LoadWorker(nil, os.Environ())
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	metrics, err := telemetry.NewMetrics(registry)
	if err != nil {
		return err
	}
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	c, err := stepwell.NewClient(stepwell.Config{RedisURL: string(cfg.Redis.URL), Log: log, Hooks: metrics.Hooks()})
	if err != nil {
		return err
	}
	w, err := stepwell.NewWorker(c, handlers(), stepwell.WorkerConfig{
		Queues: map[string]int{queue: 1}, Concurrency: cfg.Pool.Concurrency, Grace: cfg.Pool.Grace, TTL: cfg.Pool.TTL, Heartbeat: cfg.Pool.Heartbeat,
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", cfg.Pool.Addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /metrics", telemetry.Handler(registry))
	probes := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = probes.Serve(l) }() // ends with the process
	return errors.Join(w.Run(ctx), c.Close(context.WithoutCancel(ctx)))
}
