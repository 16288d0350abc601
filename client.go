package stepwell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// DefaultRedisURL is the Redis of a [Config] that names none.
const DefaultRedisURL = "redis://127.0.0.1:6379/0"

const (
	openTimeout = 5 * time.Second       // for the checks of the installation when a client or a worker is made
	pollFirst   = 20 * time.Millisecond // between the first two looks of Wait
	pollMax     = time.Second           // between any later two
)

// Hooks observe what an engine does; nil funcs are off.
type Hooks = engine.Hooks

// Config is how to reach an installation. The zero value is a Redis on this machine.
type Config struct {
	// RedisURL is redis://user:password@host:6379/0, rediss://… with TLS, redis+sentinel://host:26379,host2:26379/master?db=0 or
	// redis+cluster://host:7000,host2:7000; "" means [DefaultRedisURL].
	RedisURL string
	// TLSCA, TLSCert and TLSKey name PEM files: authorities to trust instead of the system's, and the client's certificate.
	TLSCA, TLSCert, TLSKey string
	// Prefix of every Redis key and queue, the same in all processes of an installation: 1 to 16 of a-z, 0-9 and -; "" means sw.
	Prefix string
	// StrictReplicas is the number of replicas of Redis that must confirm a new run before Start returns; fewer are [ErrUnavailable], and the call may be repeated
	// with the same key. Name all replicas that may become master. 0 does not wait: a run is then as durable as Redis alone makes it.
	StrictReplicas int
	// Dev turns the refusal of an unfit Redis into a warning and lets Register overwrite a version that has another definition.
	Dev bool
	// Keep and KeepFailed are how long runs that this process starts are kept after their end, the second when they failed, unless their workflow says
	// so; 0 means [dag.DefaultKeep] and [dag.DefaultKeepFailed], [dag.Forever] never removes.
	Keep, KeepFailed time.Duration
	// Log gets what an operator should know; nil discards.
	Log *slog.Logger
	// Hooks observe the client and its workers.
	Hooks Hooks
}

// Client registers workflows and starts runs. It runs no loops and is safe for concurrent use. Make one for a process, not one for a call.
type Client struct {
	cfg    Config
	engine *engine.Engine

	mu      sync.Mutex
	closers []io.Closer    // Redis clients, of this client and of its workers
	workers sync.WaitGroup // that run
	closed  bool
}

// NewClient connects to Redis and checks that the installation can carry runs. It takes 5 s at most.
//
// Errors say how to mend it: [ErrInvalid] for the configuration, [ErrUnavailable] when Redis does not answer, others when it is not fit
// (its version, its maxmemory-policy, its clock, an installation of another release).
func NewClient(cfg Config) (*Client, error) {
	if cfg.RedisURL == "" {
		cfg.RedisURL = DefaultRedisURL
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg}
	var err error
	if _, c.engine, err = c.connect(redisstore.Quick, 0); err != nil {
		return nil, err
	}
	return c, nil
}

// connect makes an engine on a Redis connection of its own. [Client.Close] closes the connection.
func (c *Client) connect(profile redisstore.Profile, ttl time.Duration) (redis.UniversalClient, *engine.Engine, error) {
	conn, err := redisstore.Connect(redisstore.Options{
		URL: c.cfg.RedisURL, TLSCA: c.cfg.TLSCA, TLSCert: c.cfg.TLSCert, TLSKey: c.cfg.TLSKey, Profile: profile,
	})
	if err != nil {
		return nil, nil, err
	}
	batch := conn
	if profile == redisstore.Patient { // a worker, which settles many steps at once
		if batch, err = redisstore.Batching(conn); err != nil {
			return nil, nil, errors.Join(err, conn.Close())
		}
	}
	e, err := c.engineOn(conn, batch, ttl)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errors.Join(errClosed, conn.Close())
	}
	c.closers = append(c.closers, conn)
	return conn, e, nil
}

var errClosed = errors.New("the client is closed")

func (c *Client) engineOn(conn, batch redis.UniversalClient, ttl time.Duration) (*engine.Engine, error) {
	// A constructor without a context: the caller has nothing to cancel yet, and the bound is short.
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	store, err := redisstore.Open(ctx, conn, redisstore.Config{
		Prefix: c.cfg.Prefix, StrictReplicas: c.cfg.StrictReplicas, Dev: c.cfg.Dev, Batch: batch,
		Warn: func(text string) { c.cfg.Log.WarnContext(ctx, "redis", "warning", text) },
	})
	if err != nil {
		return nil, err
	}
	queue, err := asynqueue.NewQueue(batch, asynqueue.Options{Prefix: c.cfg.Prefix})
	if err != nil {
		return nil, err
	}
	return engine.New(store, queue, definition.NewSchemas(), engine.Config{
		TTL: ttl, Keep: c.cfg.Keep, KeepFailed: c.cfg.KeepFailed, Dev: c.cfg.Dev, Hooks: c.cfg.Hooks, Log: c.cfg.Log,
	})
}

// LoadWorkflow reads a workflow from a YAML file. The error names file, line, column and the mend of everything that is wrong.
func LoadWorkflow(file string) (*dag.Workflow, error) { return definition.Load(file) }

// Register makes a version of a workflow known to every process. The same definition again is no change.
//
// Errors: [ErrInvalid], [ErrConflict] (the version has another definition: raise it), [ErrUnavailable].
func (c *Client) Register(ctx context.Context, w *dag.Workflow) error {
	if w == nil {
		return fmt.Errorf("%w: register: there is no workflow", ErrInvalid)
	}
	return c.engine.Register(ctx, w, "")
}

// StartOptions are the optional parts of a start.
type StartOptions struct {
	// Key makes the start idempotent: the same key with the same request names the same run, however often it is sent. Without a key each
	// start is a run of its own, and one whose answer was lost must not be repeated.
	Key string
	// Profiles of the workflow, applied in order.
	Profiles []string
	// Labels by which runs are found again.
	Labels map[string]string
	// CorrelationID is an ID of the caller's; logs and the run carry it.
	CorrelationID string
	// StartAt or Delay postpone the start; at most one of them.
	StartAt time.Time
	Delay   time.Duration
	// Timeout of the whole run; 0 means the workflow's.
	Timeout time.Duration
}

// Start starts a run of a workflow, namespace/name or namespace/name@version, and returns it as it is now. Input is written as JSON, a
// json.RawMessage is taken as it is and nil means {}. Once it returned without an error the run is not lost.
//
// Errors: [ErrInvalid], [ErrNotFound] (no such workflow or version), [ErrConflict] (the key was used for another request),
// [ErrMemory], [ErrUnavailable].
func (c *Client) Start(ctx context.Context, workflow string, input any, opts StartOptions) (dag.RunView, error) {
	raw, err := rawInput(input)
	if err != nil {
		return dag.RunView{}, fmt.Errorf("start %s: %w", workflow, err)
	}
	started, err := c.engine.Start(ctx, engine.StartRequest{
		Workflow: workflow, Input: raw, Key: opts.Key, Profiles: opts.Profiles, Labels: opts.Labels, CorrelationID: opts.CorrelationID,
		StartAt: opts.StartAt, Delay: opts.Delay, Timeout: opts.Timeout,
	})
	if err != nil {
		return dag.RunView{}, err
	}
	for _, warning := range started.Warnings {
		c.cfg.Log.WarnContext(ctx, "run started", "run", started.Run.ID, "warning", warning)
	}
	return started.Run, nil
}

func rawInput(input any) (json.RawMessage, error) {
	switch v := input.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		return v, nil
	}
	raw, err := json.Marshal(input)
	if err != nil {
		return nil, fmt.Errorf("%w input: %w", ErrInvalid, err)
	}
	return raw, nil
}

// Get returns a run as it is now. Errors: [ErrInvalid], [ErrNotFound], [ErrUnavailable].
func (c *Client) Get(ctx context.Context, run string) (dag.RunView, error) {
	if _, err := dag.RunPartition(run); err != nil {
		return dag.RunView{}, fmt.Errorf("get run %q: %w", run, err)
	}
	return c.engine.Store().Run(ctx, run)
}

// Wait returns a run when it has ended, whatever its end: look at its State. It sits out an absence of Redis. Errors: [ErrInvalid],
// [ErrNotFound], and that of ctx together with the last one of Redis.
func (c *Client) Wait(ctx context.Context, run string) (dag.RunView, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for wait := pollFirst; ; wait = min(2*wait, pollMax) {
		view, err := c.Get(ctx, run)
		switch {
		case err == nil && view.State.Ended():
			return view, nil
		case err != nil && !errors.Is(err, ErrUnavailable):
			return dag.RunView{}, err
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return dag.RunView{}, fmt.Errorf("wait for run %s: %w", run, errors.Join(ctx.Err(), err))
		case <-timer.C:
		}
	}
}

// Close waits until the workers of the client have returned from Run or ctx ends, and closes the connections. Closing again is no error.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	closers := c.closers
	c.closers, c.closed = nil, true
	c.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		c.workers.Wait()
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	var errs []error
	for _, conn := range closers {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// running notes that a worker runs until the returned func is called.
func (c *Client) running() (done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	c.workers.Add(1)
	return c.workers.Done, nil
}
