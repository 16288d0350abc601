package asynqueue_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// plant is an installation on a Redis server.
type plant struct {
	t       *testing.T
	prefix  string
	client  redis.UniversalClient
	queue   *asynqueue.Queue
	engine  *engine.Engine
	inspect *asynq.Inspector
}

func newPlant(t *testing.T, url string) *plant {
	t.Helper()
	p := &plant{t: t, prefix: redistest.Prefix(t)}
	var err error
	if p.client, err = redisstore.Connect(redisstore.Options{URL: url}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.client.Close() })
	store, err := redisstore.Open(t.Context(), p.client, redisstore.Config{Prefix: p.prefix})
	if err != nil {
		t.Fatal(err)
	}
	if p.queue, err = asynqueue.NewQueue(p.client, asynqueue.Options{Prefix: p.prefix}); err != nil {
		t.Fatal(err)
	}
	if p.engine, err = engine.New(store, p.queue, anySchema{}, engine.Config{}); err != nil {
		t.Fatal(err)
	}
	p.inspect = asynq.NewInspectorFromRedisClient(p.client)
	return p
}

// work runs a worker until the returned func is called, which gives back how long the worker took to stop.
func (p *plant) work(reg *tasks.Registry, opts asynqueue.WorkerOptions) (stop func() time.Duration) {
	p.t.Helper()
	opts.Client, opts.Prefix = p.client, p.prefix
	if opts.Queues == nil {
		opts.Queues = map[string]int{"shop": 3, "stepwell": 1}
	}
	opts.Concurrency = 4
	w, err := asynqueue.NewWorker(p.engine, reg, opts)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stopped := false
	stop = func() time.Duration {
		if stopped {
			return 0
		}
		stopped = true
		cancel()
		began := time.Now()
		if err := <-done; err != nil {
			p.t.Errorf("run: %v", err)
		}
		return time.Since(began)
	}
	p.t.Cleanup(func() { stop() })
	return stop
}

func (p *plant) start(w *dag.Workflow) string {
	p.t.Helper()
	if err := p.engine.Register(p.t.Context(), w, ""); err != nil {
		p.t.Fatal(err)
	}
	started, err := p.engine.Start(p.t.Context(), engine.StartRequest{Workflow: w.FullName()})
	if err != nil {
		p.t.Fatal(err)
	}
	return started.Run.ID
}

// wait polls until ready says so.
func (p *plant) wait(what string, ready func() bool) {
	p.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-deadline:
			p.t.Fatalf("no %s after 30 s", what)
		case <-tick.C:
		}
	}
}

func (p *plant) waitEnd(run string) dag.RunView {
	p.t.Helper()
	var view dag.RunView
	p.wait("end of run "+run, func() bool {
		v, err := p.engine.Store().Run(p.t.Context(), run)
		if err == nil {
			view = v
		}
		return err == nil && view.State.Ended()
	})
	return view
}

func TestRunOnAsynq(t *testing.T) {
	t.Parallel()
	p := newPlant(t, redistest.URL(t))
	reg := tasks.NewRegistry()
	var failed atomic.Bool
	tasks.Handle(reg, "shop.a", func(context.Context, *tasks.Step) (int, error) { return 1, nil })
	tasks.Handle(reg, "shop.flaky", func(ctx context.Context, s *tasks.Step) (int, error) {
		if failed.CompareAndSwap(false, true) {
			return 0, errors.New("not yet")
		}
		a, err := tasks.Output[int](ctx, s, "a")
		return a + s.Attempt(), err
	})
	stop := p.work(reg, asynqueue.WorkerOptions{Name: "w-run"})
	began := time.Now()
	view := p.waitEnd(p.start(&dag.Workflow{Namespace: "shop", Name: "two", Version: "1.0.0", Steps: []dag.Step{
		{Name: "a", Handler: "shop.a"},
		{Name: "b", Handler: "shop.flaky", DependsOn: []string{"a"}},
	}}))
	b := view.Steps[1]
	if view.State != dag.RunSucceeded || string(b.Output) != "3" || b.Attempts != 2 || b.Failures != 1 {
		t.Errorf("run is %s; step b has output %s after %d attempts and %d failures; want 3 after 2 and 1", view.State, b.Output, b.Attempts, b.Failures)
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("the retry came after %s, want about a second (less 10 %% jitter)", took)
	}
	if took := stop(); took > 5*time.Second {
		t.Errorf("an idle worker took %s to stop", took)
	}
	workers, _, err := p.engine.Store().Workers(t.Context())
	if err != nil || len(workers) != 1 || workers[0].LeftAt.IsZero() || !strings.HasPrefix(workers[0].ID, "w-run-") {
		t.Errorf("workers %+v, %v; want one that signed off", workers, err)
	}
	if diff := cmp.Diff([]string{"shop.a", "shop.flaky"}, workers[0].Handlers); diff != "" {
		t.Errorf("announced handlers (-want +got):\n%s", diff)
	}
}

func TestFailedStepShowsInTheArchive(t *testing.T) {
	t.Parallel()
	p := newPlant(t, redistest.URL(t))
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "shop.x", func(context.Context, *tasks.Step) (int, error) {
		return 0, tasks.Permanent("DECLINED", errors.New("no money"))
	})
	p.work(reg, asynqueue.WorkerOptions{})
	run := p.start(one("shop.x"))
	if view := p.waitEnd(run); view.State != dag.RunFailed {
		t.Fatalf("run is %s", view.State)
	}
	var archived []*asynq.TaskInfo
	p.wait("archived task", func() bool {
		archived, _ = p.inspect.ListArchivedTasks(asynqueue.QueueName(p.prefix, "shop"))
		return len(archived) > 0
	})
	if got, want := archived[0].LastErr, "stepwell: step failed: DECLINED: no money"; got != want || archived[0].ID != run+":only:e1" {
		t.Errorf("task %s says %q, want %q", archived[0].ID, got, want)
	}
	if err := p.queue.Delete(t.Context(), "shop", dag.Delivery{Run: run, Step: "only", Epoch: 1}); err != nil {
		t.Error(err)
	}
	if err := p.queue.Delete(t.Context(), "shop", dag.Delivery{Run: run, Step: "only", Epoch: 1}); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
	if err := p.queue.Delete(t.Context(), "nowhere", dag.Delivery{Run: run, Step: "only", Epoch: 1}); err != nil {
		t.Errorf("deleting from a queue that is not there: %v", err)
	}
}

func TestSigtermGivesStepsBack(t *testing.T) {
	t.Parallel()
	p := newPlant(t, redistest.URL(t))
	var first atomic.Bool
	began := make(chan struct{})
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "shop.x", func(ctx context.Context, s *tasks.Step) (int, error) {
		if first.CompareAndSwap(false, true) {
			close(began)
			<-ctx.Done()
			return 0, context.Cause(ctx)
		}
		return s.Attempt(), nil
	})
	stop := p.work(reg, asynqueue.WorkerOptions{Name: "w-1", Grace: 2 * time.Second})
	run := p.start(one("shop.x"))
	<-began
	if took := stop(); took > 2100*time.Millisecond {
		t.Errorf("stopped in %s, want the grace time of 2s", took)
	}
	p.work(reg, asynqueue.WorkerOptions{Name: "w-2"})
	view := p.waitEnd(run)
	step := view.Steps[0]
	if view.State != dag.RunSucceeded || !strings.HasPrefix(step.Worker, "w-2-") || step.Failures != 0 || step.Crashes != 0 || step.Epoch != 2 {
		t.Errorf("run is %s by %s at epoch %d with %d failures and %d crashes", view.State, step.Worker, step.Epoch, step.Failures, step.Crashes)
	}
}

func TestResultSurvivesARestartOfRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t, localredis.Options{AppendFsync: "always"})
	p := newPlant(t, server.URL)
	var ran atomic.Int32
	began, proceed := make(chan struct{}), make(chan struct{})
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "shop.x", func(context.Context, *tasks.Step) (int, error) {
		ran.Add(1)
		close(began)
		<-proceed
		return 42, nil
	})
	p.work(reg, asynqueue.WorkerOptions{})
	run := p.start(one("shop.x"))
	<-began
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	close(proceed)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	view := p.waitEnd(run)
	if step := view.Steps[0]; view.State != dag.RunSucceeded || string(step.Output) != "42" || step.Attempts != 1 || ran.Load() != 1 {
		t.Errorf("run is %s with output %s after %d attempts, handler ran %d times", view.State, step.Output, step.Attempts, ran.Load())
	}
}

func TestPlainAsynqTaskStartsARun(t *testing.T) {
	t.Parallel()
	p := newPlant(t, redistest.URL(t))
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "shop.x", func(_ context.Context, s *tasks.Step) (any, error) { return tasks.Input[any](s) })
	if err := p.engine.Register(t.Context(), one("shop.x"), ""); err != nil {
		t.Fatal(err)
	}
	p.work(reg, asynqueue.WorkerOptions{})
	foreign := asynq.NewClientFromRedisClient(p.client)
	queue := asynq.Queue(asynqueue.QueueName(p.prefix, tasks.StartQueue))
	for _, body := range []string{`{"workflow":"shop/one","input":[1],"idempotency_key":"k"}`, `{"workflow":"shop/one","input":[1],"idempotency_key":"k"}`, `{"workflow":"shop/one"}`} {
		if _, err := foreign.EnqueueContext(t.Context(), asynq.NewTask(tasks.TypeStart, []byte(body)), queue); err != nil {
			t.Fatal(err)
		}
	}
	p.wait("run", func() bool {
		stats, err := p.engine.Store().Stats(t.Context())
		return err == nil && stats.Runs[dag.RunSucceeded] == 1
	})
	var archived []*asynq.TaskInfo
	p.wait("refused task", func() bool {
		archived, _ = p.inspect.ListArchivedTasks(asynqueue.QueueName(p.prefix, tasks.StartQueue))
		return len(archived) == 1
	})
	if !strings.Contains(archived[0].LastErr, "idempotency_key: it is required") {
		t.Errorf("the archived task says %q", archived[0].LastErr)
	}
}

func TestEnqueue(t *testing.T) {
	t.Parallel()
	p := newPlant(t, redistest.URL(t))
	long := dag.Send{
		Delivery: dag.Delivery{Run: dag.NewRunID(63, strings.Repeat("Z", 26)), Step: strings.Repeat("s", dag.MaxNameBytes), Epoch: math.MaxInt},
		Def:      strings.Repeat("f", 32), Handler: strings.Repeat("h", dag.MaxHandlerBytes), Queue: "shop",
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	for range 2 { // the second time asynq knows it already
		if err := p.queue.Enqueue(t.Context(), long); err != nil {
			t.Fatal(err)
		}
	}
	info, err := p.inspect.GetTaskInfo(asynqueue.QueueName(p.prefix, "shop"), long.TaskID())
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Payload) > tasks.MaxPayloadBytes {
		t.Errorf("payload of %d bytes at the longest names", len(info.Payload))
	}
	payload, err := tasks.DecodePayload(info.Payload)
	if want := (tasks.Payload{Run: long.Run, Step: long.Step, Epoch: long.Epoch, Def: long.Def}); err != nil || payload != want {
		t.Errorf("payload %+v, %v", payload, err)
	}
	if info.Type != "step:"+long.Handler || info.MaxRetry <= dag.MaxAttempts || info.Timeout != 24*time.Hour || info.Retention != 0 {
		t.Errorf("task of type %s, max retry %d, timeout %s, retention %s", info.Type, info.MaxRetry, info.Timeout, info.Retention)
	}
	if _, err := time.Parse(time.RFC3339, info.Headers["enqueued_at"]); err != nil || info.Headers["traceparent"] != long.TraceParent {
		t.Errorf("headers %v", info.Headers)
	}
	queues, err := p.queue.Queues(t.Context())
	if err != nil || len(queues) != 1 || queues[0].Name != "shop" || queues[0].Pending != 1 {
		t.Errorf("queues %+v, %v; want only shop, of this prefix, with one task", queues, err)
	}
}

func TestEnqueueWithoutRedisIsUnavailable(t *testing.T) {
	t.Parallel()
	client, err := redisstore.Connect(redisstore.Options{URL: "redis://127.0.0.1:1", Profile: redisstore.Quick})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	queue, err := asynqueue.NewQueue(client, asynqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	send := dag.Send{Delivery: dag.Delivery{Run: "run", Step: "a", Epoch: 1}, Handler: "h", Queue: "q"}
	if err := queue.Enqueue(t.Context(), send); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("Enqueue: %v, want ErrUnavailable", err)
	}
	if _, err := queue.Queues(t.Context()); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("Queues: %v, want ErrUnavailable", err)
	}
}

func TestQueueNames(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{"": "shop", "sw": "shop", "blue": "blue-shop"} {
		if got := asynqueue.QueueName(prefix, "shop"); got != want {
			t.Errorf("prefix %q: %s, want %s", prefix, got, want)
		}
	}
	if _, err := asynqueue.NewQueue(idle(t), asynqueue.Options{Prefix: "{x}"}); !errors.Is(err, dag.ErrInvalid) {
		t.Errorf("prefix {x}: %v, want it refused", err)
	}
}

func TestWorkerNamesMissingHandlers(t *testing.T) {
	t.Parallel()
	p := newPlant(t, redistest.URL(t))
	if err := p.engine.Register(t.Context(), one("shop.x"), ""); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	stop := p.work(tasks.NewRegistry(), asynqueue.WorkerOptions{Log: slog.New(slog.NewJSONHandler(log, nil))})
	p.wait("worker", func() bool { return strings.Contains(log.String(), "worker serves its queues") })
	stop()
	var warned bool
	for line := range strings.Lines(log.String()) {
		var entry struct{ Level, Missing string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		warned = warned || (entry.Level == "WARN" && entry.Missing == "shop/shop.x")
	}
	if !warned {
		t.Errorf("no warning of shop/shop.x in\n%s", log)
	}
}

// A supervisor restarts a killed worker under its name. Were it the same worker, it would vouch for the steps that the killed one left: no crash
// would ever count.
func TestRestartedWorkerIsAnotherOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, idle(t))
	ids := map[string]bool{}
	for range 2 {
		w, err := asynqueue.NewWorker(r.engine, r.reg, asynqueue.WorkerOptions{Client: r.client, Queues: map[string]int{"a": 1}, Name: "pod-7"})
		if err != nil {
			t.Fatal(err)
		}
		ids[w.ID()] = strings.HasPrefix(w.ID(), "pod-7-")
	}
	if len(ids) != 2 {
		t.Errorf("IDs %v, want two", ids)
	}
	for id, named := range ids {
		if !named {
			t.Errorf("ID %s does not begin with the name", id)
		}
	}
}

func TestWorkerOptionsAreChecked(t *testing.T) {
	t.Parallel()
	r := newRig(t, idle(t))
	for name, c := range map[string]struct {
		opts asynqueue.WorkerOptions
		says string
	}{
		"no queues":   {asynqueue.WorkerOptions{}, "no queues"},
		"queue name":  {asynqueue.WorkerOptions{Queues: map[string]int{"{a}": 1}}, "queue name"},
		"weight":      {asynqueue.WorkerOptions{Queues: map[string]int{"a": 0}}, "weight 0 of queue a"},
		"concurrency": {asynqueue.WorkerOptions{Queues: map[string]int{"a": 1}, Concurrency: -1}, "concurrency -1"},
		"grace":       {asynqueue.WorkerOptions{Queues: map[string]int{"a": 1}, Grace: time.Millisecond}, "grace 1ms"},
		"heartbeat":   {asynqueue.WorkerOptions{Queues: map[string]int{"a": 1}, Heartbeat: 19 * time.Second}, "a third of the TTL"},
		"name":        {asynqueue.WorkerOptions{Queues: map[string]int{"a": 1}, Name: "a b"}, "worker name"},
		"prefix":      {asynqueue.WorkerOptions{Queues: map[string]int{"a": 1}, Prefix: "{a}"}, "prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.opts.Client = r.client
			_, err := asynqueue.NewWorker(r.engine, r.reg, c.opts)
			if !errors.Is(err, dag.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want an error that wraps ErrInvalid and says %q", err, c.says)
			}
		})
	}
}
