package asynqueue_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

func TestMain(m *testing.M) { redistest.Main(m) }

type anySchema struct{}

func (anySchema) Check(_, _ json.RawMessage) error { return nil }

// idle is a client that is never used: the rig's worker has no asynq server.
func idle(t *testing.T) redis.UniversalClient {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// rig is a worker's wrapper on the in-memory store and a queue that the test empties by hand. It is made inside of a synctest bubble, so that
// time is the test's.
type rig struct {
	*asynqueue.Worker
	t         *testing.T
	client    redis.UniversalClient
	engine    *engine.Engine
	store     enginetest.Subject
	faults    *enginetest.Faulty
	hook      atomic.Pointer[func(string) enginetest.Fault]
	queue     *enginetest.FakeQueue
	reg       *tasks.Registry
	began     time.Time // of the bubble
	skew      time.Duration
	log       *logBuffer
	abandoned []int
	answers   []string
	life      context.Context
	end       context.CancelFunc
}

func newRig(t *testing.T, client redis.UniversalClient) *rig {
	t.Helper()
	r := &rig{
		t: t, client: client, store: enginetest.OpenMemory(t), queue: &enginetest.FakeQueue{}, reg: tasks.NewRegistry(), began: time.Now(), log: &logBuffer{},
	}
	r.faults = &enginetest.Faulty{Store: r.store, Hook: func(method string) enginetest.Fault {
		if hook := r.hook.Load(); hook != nil {
			return (*hook)(method)
		}
		return enginetest.FaultNone
	}}
	r.replaceStore(r.faults)
	r.life, r.end = context.WithCancel(t.Context())
	t.Cleanup(r.end)
	return r
}

// onCall makes the store's calls go wrong from now on, as the hook says.
func (r *rig) onCall(hook func(method string) enginetest.Fault) { r.hook.Store(&hook) }

// replaceStore gives the rig another engine and worker.
func (r *rig) replaceStore(store engine.Store) {
	r.t.Helper()
	var err error
	r.engine, err = engine.New(store, r.queue, anySchema{}, engine.Config{Now: time.Now, Random: func() float64 { return 0.5 }})
	if err != nil {
		r.t.Fatal(err)
	}
	var mu sync.Mutex
	r.Worker, err = asynqueue.NewWorker(r.engine, r.reg, asynqueue.WorkerOptions{
		Client: r.client, Queues: map[string]int{"shop": 1}, Name: "w1", Host: "h", Log: slog.New(slog.NewJSONHandler(r.log, nil)),
		Hooks: asynqueue.Hooks{Abandoned: func(n int) {
			mu.Lock()
			defer mu.Unlock()
			r.abandoned = append(r.abandoned, n)
		}, Answered: func(answer string) {
			mu.Lock()
			defer mu.Unlock()
			r.answers = append(r.answers, answer)
		}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// logBuffer keeps a log for a test to look into.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// one is a workflow of a single step.
func one(handler string) *dag.Workflow {
	return &dag.Workflow{Namespace: "shop", Name: "one", Version: "1.0.0", Steps: []dag.Step{{Name: "only", Handler: handler}}}
}

// start registers and starts a workflow and returns the run's ID.
func (r *rig) start(w *dag.Workflow) string {
	r.t.Helper()
	if err := r.engine.Register(r.t.Context(), w, ""); err != nil {
		r.t.Fatal(err)
	}
	r.syncTime()
	started, err := r.engine.Start(r.t.Context(), engine.StartRequest{Workflow: w.FullName(), Input: json.RawMessage(`{"n":1.0}`), CorrelationID: "c-7"})
	if err != nil {
		r.t.Fatal(err)
	}
	return started.Run.ID
}

// syncTime sets the store's clock to the bubble's.
func (r *rig) syncTime() {
	r.t.Helper()
	if err := r.store.SetTime(r.t.Context(), enginetest.Epoch().Add(time.Since(r.began)+r.skew)); err != nil {
		r.t.Fatal(err)
	}
}

// next takes the oldest task of the queue.
func (r *rig) next() dag.Send {
	r.t.Helper()
	r.engine.Quiesce()
	send, ok := r.queue.Take()
	if !ok {
		r.t.Fatal("the queue is empty")
	}
	return send
}

// deliver gives a task to the wrapper, as asynq would.
func (r *rig) deliver(send dag.Send) error {
	r.t.Helper()
	r.syncTime()
	payload, err := tasks.Payload{Run: send.Run, Step: send.Step, Epoch: send.Epoch, Def: send.Def}.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	defer r.queue.Done(send.Delivery)
	return r.Deliver(r.life, tasks.TypeOf(send.Handler), payload)
}

// deliverInBackground is deliver in a goroutine; the answer comes through the channel.
func (r *rig) deliverInBackground(send dag.Send) <-chan error {
	r.t.Helper()
	answer := make(chan error, 1)
	go func() { answer <- r.deliver(send) }()
	return answer
}

func (r *rig) view(run string) dag.RunView {
	r.t.Helper()
	view, err := r.store.Run(r.t.Context(), run)
	if err != nil {
		r.t.Fatal(err)
	}
	return view
}

// step is the first step of a run.
func (r *rig) step(run string) dag.StepView {
	r.t.Helper()
	return r.view(run).Steps[0]
}

// takeOver declares the claim of a run's only running step dead, as the sweeper would after its lease ran out.
func (r *rig) takeOver(run string, crash bool) {
	r.t.Helper()
	r.skew += r.engine.TTL() + time.Second
	r.syncTime()
	partition, err := dag.RunPartition(run)
	if err != nil {
		r.t.Fatal(err)
	}
	due, err := r.store.Due(r.t.Context(), partition, dag.DueLimits{Entries: 10})
	if err != nil || len(due.Claims) != 1 {
		r.t.Fatalf("%d dead claims, %v; want one", len(due.Claims), err)
	}
	c := due.Claims[0]
	settled, err := r.store.Reissue(r.t.Context(), dag.ReissueRequest{
		Run: run, Step: c.Step, Def: c.Def, State: dag.StepRunning, Epoch: c.Epoch, Nonce: c.Nonce, Crash: crash,
	})
	if err != nil || settled.Reply != dag.ReplyOK {
		r.t.Fatalf("reissue: %v, %v", settled.Reply, err)
	}
	for _, s := range settled.Sends {
		if err := r.queue.Enqueue(r.t.Context(), s); err != nil {
			r.t.Fatal(err)
		}
	}
}

// crash begins a delivery as a worker that is never heard of again.
func (r *rig) crash(send dag.Send, nonce string) {
	r.t.Helper()
	r.syncTime()
	begun, err := r.engine.Begin(r.t.Context(), dag.BeginRequest{Delivery: send.Delivery, Def: send.Def, Nonce: nonce, Worker: "dead"})
	if err != nil || begun.Verdict != dag.VerdictRun {
		r.t.Fatalf("begin: %v, %v", begun.Verdict, err)
	}
	r.queue.Done(send.Delivery)
	r.takeOver(send.Run, true)
}
