package stepwell_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepwell/stepwell"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func newClient(t *testing.T) *stepwell.Client {
	t.Helper()
	c, err := stepwell.NewClient(stepwell.Config{RedisURL: redistest.URL(t), Prefix: redistest.Prefix(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return c
}

// work runs a worker until the end of the test.
func work(t *testing.T, c *stepwell.Client, reg *tasks.Registry, cfg stepwell.WorkerConfig) {
	t.Helper()
	w, err := stepwell.NewWorker(c, reg, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func one(name, handler string) *dag.Workflow {
	return &dag.Workflow{Namespace: "shop", Name: name, Version: "1.0.0", Steps: []dag.Step{{Name: "only", Handler: handler, Retry: dag.RetryPolicy{MaxAttempts: 1}}}}
}

func register(t *testing.T, c *stepwell.Client, w *dag.Workflow) {
	t.Helper()
	if err := c.Register(t.Context(), w); err != nil {
		t.Fatal(err)
	}
}

func TestStartByKeyIsOneRun(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	register(t, c, one("a", "shop.a"))
	opts := stepwell.StartOptions{Key: "k", Labels: map[string]string{"tier": "gold"}, CorrelationID: "c-1", Timeout: time.Hour}
	first, err := c.Start(t.Context(), "shop/a", map[string]int{"n": 1}, opts)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Start(t.Context(), "shop/a", json.RawMessage(`{ "n": 1 }`), opts)
	if err != nil || again.ID != first.ID {
		t.Errorf("the same request again: run %s, %v; want %s", again.ID, err, first.ID)
	}
	if _, err := c.Start(t.Context(), "shop/a", map[string]int{"n": 2}, opts); !errors.Is(err, stepwell.ErrConflict) {
		t.Errorf("another request under the key: %v, want ErrConflict", err)
	}
	got, err := c.Get(t.Context(), first.ID)
	if err != nil || got.State != dag.RunRunning || got.Labels["tier"] != "gold" || got.CorrelationID != "c-1" || string(got.Input) != `{"n":1}` {
		t.Errorf("run %+v, %v", got, err)
	}
}

func TestRetryRunsAFailedStepAgain(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	register(t, c, one("a", "shop.a"))
	var mended atomic.Bool
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "shop.a", func(context.Context, *tasks.Step) (string, error) {
		if !mended.Load() {
			return "", errors.New("broken")
		}
		return "done", nil
	})
	work(t, c, reg, stepwell.WorkerConfig{})
	run, err := c.Start(t.Context(), "shop/a", nil, stepwell.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if run, err = c.Wait(t.Context(), run.ID); err != nil || run.State != dag.RunFailed {
		t.Fatalf("run is %s, %v; want failed", run.State, err)
	}
	mended.Store(true)
	if run, err = c.Retry(t.Context(), run.ID, stepwell.RetryOptions{Step: "only", Reason: "mended", Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	if run, err = c.Wait(t.Context(), run.ID); err != nil || run.State != dag.RunSucceeded || string(run.Steps[0].Output) != `"done"` {
		t.Errorf("run is %s with %s, %v", run.State, run.Steps[0].Output, err)
	}
	if _, err := c.Retry(t.Context(), run.ID, stepwell.RetryOptions{}); !errors.Is(err, stepwell.ErrConflict) {
		t.Errorf("retry of a succeeded run: %v, want ErrConflict", err)
	}
}

func TestErrorsCanBeTold(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	register(t, c, one("a", "shop.a"))
	unknown := dag.NewRunID(5, "01J9Z0K3V8Q6S5T4R3W2X1Y0ZA")
	changed := one("a", "shop.other")
	for name, call := range map[string]struct {
		want error
		do   func() error
	}{
		"start of nothing":   {stepwell.ErrNotFound, func() error { _, err := c.Start(t.Context(), "shop/none", nil, stepwell.StartOptions{}); return err }},
		"get of nothing":     {stepwell.ErrNotFound, func() error { _, err := c.Get(t.Context(), unknown); return err }},
		"wait for nothing":   {stepwell.ErrNotFound, func() error { _, err := c.Wait(t.Context(), unknown); return err }},
		"retry of nothing":   {stepwell.ErrNotFound, func() error { _, err := c.Retry(t.Context(), unknown, stepwell.RetryOptions{}); return err }},
		"no run ID":          {stepwell.ErrInvalid, func() error { _, err := c.Get(t.Context(), "42"); return err }},
		"input without JSON": {stepwell.ErrInvalid, func() error { _, err := c.Start(t.Context(), "shop/a", func() {}, stepwell.StartOptions{}); return err }},
		"bad key": {stepwell.ErrInvalid, func() error {
			_, err := c.Start(t.Context(), "shop/a", nil, stepwell.StartOptions{Key: "ä"})
			return err
		}},
		"no workflow":      {stepwell.ErrInvalid, func() error { return c.Register(t.Context(), nil) }},
		"bad workflow":     {stepwell.ErrInvalid, func() error { return c.Register(t.Context(), &dag.Workflow{}) }},
		"changed workflow": {stepwell.ErrConflict, func() error { return c.Register(t.Context(), changed) }},
		"URL":              {stepwell.ErrInvalid, func() error { _, err := stepwell.NewClient(stepwell.Config{RedisURL: "http://x"}); return err }},
		"prefix": {stepwell.ErrInvalid, func() error {
			_, err := stepwell.NewClient(stepwell.Config{RedisURL: redistest.URL(t), Prefix: "{x}"})
			return err
		}},
		"no Redis": {stepwell.ErrUnavailable, func() error {
			_, err := stepwell.NewClient(stepwell.Config{RedisURL: "redis://127.0.0.1:1"})
			return err
		}},
		"worker without all": {stepwell.ErrInvalid, func() error { _, err := stepwell.NewWorker(nil, nil, stepwell.WorkerConfig{}); return err }},
		"worker's TTL":       {stepwell.ErrInvalid, func() error { return workerError(c, stepwell.WorkerConfig{TTL: 1}) }},
		"worker's heartbeat": {stepwell.ErrInvalid, func() error {
			return workerError(c, stepwell.WorkerConfig{Queues: map[string]int{"a": 1}, Heartbeat: time.Hour})
		}},
		"no queue to work on": {stepwell.ErrInvalid, func() error { return workerError(c, stepwell.WorkerConfig{}) }},
	} {
		if err := call.do(); !errors.Is(err, call.want) {
			t.Errorf("%s: %v, want %v", name, err, call.want)
		}
	}
}

func workerError(c *stepwell.Client, cfg stepwell.WorkerConfig) error {
	_, err := stepwell.NewWorker(c, tasks.NewRegistry(), cfg)
	return err
}

func TestWorkerServesTheQueuesThatItHasAllHandlersFor(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	mine, shared := one("mine", "shop.a"), one("shared", "shop.a")
	mine.Steps[0].Queue, shared.Steps[0].Queue = "mine", "shared"
	shared.Steps = append(shared.Steps, dag.Step{Name: "second", Handler: "shop.elsewhere", Queue: "shared"})
	mine.Profiles = map[string]dag.Profile{"fast": {Steps: map[string]dag.StepOverride{"only": {Queue: "mine-fast"}}}}
	register(t, c, mine)
	register(t, c, shared)
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "shop.a", func(context.Context, *tasks.Step) (int, error) { return 1, nil })
	work(t, c, reg, stepwell.WorkerConfig{})
	for _, profiles := range [][]string{nil, {"fast"}} {
		run, err := c.Start(t.Context(), "shop/mine", nil, stepwell.StartOptions{Profiles: profiles})
		if err != nil {
			t.Fatal(err)
		}
		if run, err = c.Wait(t.Context(), run.ID); err != nil || run.State != dag.RunSucceeded {
			t.Errorf("run with profiles %v is %s, %v", profiles, run.State, err)
		}
	}
	run, err := c.Start(t.Context(), "shop/shared", nil, stepwell.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := c.Wait(ctx, run.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the run on the other queue: %v, want it to wait for a worker", err)
	}
}

func TestCloseWaitsForWorkersAndEndsTheClient(t *testing.T) {
	t.Parallel()
	c, err := stepwell.NewClient(stepwell.Config{RedisURL: redistest.URL(t), Prefix: redistest.Prefix(t)})
	if err != nil {
		t.Fatal(err)
	}
	w, err := stepwell.NewWorker(c, tasks.NewRegistry(), stepwell.WorkerConfig{Queues: map[string]int{"q": 1}})
	if err != nil {
		t.Fatal(err)
	}
	late, err := stepwell.NewWorker(c, tasks.NewRegistry(), stepwell.WorkerConfig{Queues: map[string]int{"q": 1}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop() // it starts and drains at once
	if err := w.Run(ctx); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := late.Run(t.Context()); err == nil {
		t.Error("a worker runs on a closed client")
	}
	if _, err := stepwell.NewWorker(c, tasks.NewRegistry(), stepwell.WorkerConfig{}); err == nil {
		t.Error("a closed client gives a worker")
	}
}

func TestLoadWorkflow(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "w.yaml")
	for text, want := range map[string]string{
		"namespace: shop\nname: a\nversion: 1.0.0\nsteps:\n  - {name: only, handler: shop.a}\n": "",
		"namespace: shop\nname: a\nversion: 1.0.0\nstepz: []\n":                                 "stepz",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := stepwell.LoadWorkflow(file)
		if want == "" && (err != nil || w.FullName() != "shop/a") {
			t.Errorf("%v, %v", w, err)
		}
		if want != "" && (!errors.Is(err, stepwell.ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file)) {
			t.Errorf("%v, want an error that names %s and %s", err, file, want)
		}
	}
}
