package asynqueue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// DefaultGrace is the time from the end of a worker's context to the return of [Worker.Run].
const DefaultGrace = 30 * time.Second

// Bounds of [WorkerOptions].
const (
	minGrace       = time.Second
	maxGrace       = time.Hour
	minHeartbeat   = 10 * time.Millisecond
	maxConcurrency = 10_000
	maxWeight      = 1000
)

const (
	// checkInterval is asynq's pause when all queues are empty. The servers of a process ask in turn, so that with four of them an idle queue is asked
	// every 5 ms on average, at some 180 scripts a second.
	checkInterval = 20 * time.Millisecond
	// forwardInterval is asynq's time resolution for retries, which come on whole seconds.
	forwardInterval = time.Second
	// askTimeout bounds the question for missing handlers at start, which only serves a warning.
	askTimeout = 5 * time.Second
)

// WorkerOptions are the parts of a [Worker]. Client and Queues are required; every other zero value is the default.
type WorkerOptions struct {
	// Client carries asynq's own commands. It must be patient (many retries), or a blip of Redis makes asynq lose the ack of a finished task.
	// The caller closes it after Run has returned.
	Client redis.UniversalClient
	// Prefix is the key prefix of the installation; "" means [DefaultPrefix].
	Prefix string
	// Queues are names as in definitions, with weights of 1 to 1000. A worker must have every handler that is used on its queues. Start tasks are
	// served when tasks.StartQueue is among them.
	Queues map[string]int
	// Concurrency is the number of steps that run at once; 0 means 10 for each CPU.
	Concurrency int
	// Grace is the time for the shutdown, 1 s to 1 h; 0 means [DefaultGrace].
	Grace time.Duration
	// Heartbeat is the time between two renewals of a claim and of the worker's announcement, at most a third of the engine's TTL; 0 means
	// engine.DefaultHeartbeat, or a third of the TTL if that is less.
	Heartbeat time.Duration
	// Name is how the worker's ID begins; "" means host-pid. A random part follows, so that a process that was restarted under the same name is another
	// worker: its life is no sign of life of the one before.
	Name string
	// Host is shown to operators; "" means the host's name.
	Host string
	// Log gets what an operator should know; nil discards.
	Log *slog.Logger
	// Now is the clock for durations in logs and hooks; nil means time.Now.
	Now func() time.Time
	// Hooks observe; nil funcs are off.
	Hooks Hooks
}

// Hooks observe a worker; they must return quickly and may be called from many goroutines.
type Hooks struct {
	// Abandoned is called with the number of handlers that were left behind and still run, whenever it changes.
	Abandoned func(n int)
	// Answered is called once for each delivery of a step with the row of the verdict table that it came to, one of [Answers].
	Answered func(answer string)
}

// Worker runs steps that asynq delivers. Make it with [NewWorker].
type Worker struct {
	engine *engine.Engine
	reg    *tasks.Registry
	opts   WorkerOptions
	id     string
	table  map[answer]Order
	gate   *gate
	graphs graphCache

	abandoned atomic.Int64
	told      sync.Map // task types that had no handler and were logged

	mu       sync.Mutex
	attempts map[*attempt]struct{}
	ending   bool // the handlers' contexts have been ended
}

// NewWorker returns a Worker. Nothing runs until [Worker.Run].
func NewWorker(e *engine.Engine, reg *tasks.Registry, opts WorkerOptions) (*Worker, error) {
	if e == nil || reg == nil || opts.Client == nil {
		return nil, errors.New("asynqueue: engine, registry and redis client are required")
	}
	opts.setDefaults(e.TTL())
	if err := opts.validate(e.TTL()); err != nil {
		return nil, fmt.Errorf("asynqueue: worker: %w", err)
	}
	return &Worker{
		engine: e, reg: reg, opts: opts, id: opts.Name + "-" + newNonce()[:8],
		table: verdictTable(), gate: newGate(), attempts: map[*attempt]struct{}{},
	}, nil
}

func (o *WorkerOptions) setDefaults(ttl time.Duration) {
	if o.Concurrency == 0 {
		o.Concurrency = 10 * runtime.GOMAXPROCS(0)
	}
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = min(engine.DefaultHeartbeat, ttl/3)
	}
	if o.Host == "" {
		o.Host, _ = os.Hostname() // shown only; empty is as good as any other answer
	}
	if o.Name == "" {
		o.Name = o.Host + "-" + strconv.Itoa(os.Getpid())
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default clock
	}
}

func (o *WorkerOptions) validate(ttl time.Duration) error {
	_, prefix := checkPrefix(o.Prefix)
	problems := []error{prefix}
	add := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf("%w: "+format, append([]any{dag.ErrInvalid}, args...)...))
		}
	}
	add(len(o.Queues) == 0, "no queues; name at least one with its weight")
	for _, name := range slices.Sorted(maps.Keys(o.Queues)) {
		problems = append(problems, dag.CheckName("queue name", name))
		add(o.Queues[name] < 1 || o.Queues[name] > maxWeight, "weight %d of queue %s, must be from 1 to %d", o.Queues[name], name, maxWeight)
	}
	add(o.Concurrency < 1 || o.Concurrency > maxConcurrency, "concurrency %d, must be from 1 to %d", o.Concurrency, maxConcurrency)
	add(o.Grace < minGrace || o.Grace > maxGrace, "grace %s, must be from %s to %s", o.Grace, minGrace, maxGrace)
	add(o.Heartbeat < minHeartbeat || o.Heartbeat > ttl/3, "heartbeat %s, must be from %s to %s, a third of the TTL", o.Heartbeat, minHeartbeat, ttl/3)
	add(len(o.Name) > dag.MaxLabelBytes || strings.ContainsFunc(o.Name, func(r rune) bool { return r <= ' ' || r > '~' }),
		"worker name %q, must be of at most %d printable ASCII characters without spaces", o.Name, dag.MaxLabelBytes)
	return errors.Join(problems...)
}

// ID names this worker among all of the installation, now and ever.
func (w *Worker) ID() string { return w.id }

// Run serves the queues until ctx ends, then drains. It returns within the grace time after that, with an error when asynq could not be
// started, or not stopped in time. See the package comment for the order of a shutdown. It may be called once.
func (w *Worker) Run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	w.warnMissing(ctx)
	servers := w.newServers()
	if err := servers.start(asynq.HandlerFunc(func(task context.Context, t *asynq.Task) error { return w.handle(life, task, t) })); err != nil {
		return fmt.Errorf("start worker %s: %w", w.id, err)
	}
	present, leave := context.WithCancel(life)
	defer leave()
	signedOff := make(chan error, 1)
	go func() { signedOff <- w.engine.Announce(present, w.opts.Heartbeat, w.info) }()
	w.opts.Log.InfoContext(ctx, "worker serves its queues", "worker", w.id, "queues", w.queues(), "concurrency", w.opts.Concurrency)
	<-ctx.Done()
	stop := func() {
		servers.stop()
		w.engine.Quiesce()
	}
	return w.drain(life, stop, func() <-chan error {
		end()
		leave()
		return signedOff
	})
}

func (w *Worker) queues() []string { return slices.Sorted(maps.Keys(w.opts.Queues)) }

// info is how the worker announces itself.
func (w *Worker) info() dag.WorkerInfo {
	w.mu.Lock()
	running := len(w.attempts)
	w.mu.Unlock()
	return dag.WorkerInfo{ID: w.id, Host: w.opts.Host, PID: os.Getpid(), Queues: w.queues(), Handlers: w.reg.Names(), Running: running}
}

// warnMissing names the handlers that registered definitions need on this worker's queues and that it lacks.
func (w *Worker) warnMissing(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	missing, err := w.engine.Missing(ctx, w.queues(), w.reg.Names())
	if err != nil {
		w.opts.Log.WarnContext(ctx, "handlers not compared with the registered workflows", "err", err)
		return
	}
	for _, m := range missing {
		w.opts.Log.WarnContext(ctx, "registered workflows need a handler that this worker lacks on its queue; give it to every worker of the queue", "missing", m)
	}
}

// missing logs, once for each name, that a task came for which there is no handler.
func (w *Worker) missing(ctx context.Context, taskType string) {
	if _, before := w.told.LoadOrStore(taskType, true); !before {
		w.opts.Log.ErrorContext(ctx, "no handler for a task; it is delivered again until a worker of its queue has one", "type", taskType, "worker", w.id)
	}
}

func (w *Worker) countAbandoned(by int64) {
	n := w.abandoned.Add(by)
	if h := w.opts.Hooks.Abandoned; h != nil {
		h(int(n))
	}
}
