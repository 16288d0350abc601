package stepwell

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// WorkerConfig are the optional parts of a [Worker].
type WorkerConfig struct {
	// Queues to serve, with weights of 1 to 1000. A worker must have every handler that is used on its queues. Empty means every queue for which
	// that is so by the workflows that are registered when the worker is made. Name tasks.StartQueue to serve start tasks.
	Queues map[string]int
	// Concurrency is the number of steps that run at once; 0 means 10 for each CPU.
	Concurrency int
	// Grace is the time for a shutdown, 1 s to 1 h; 0 means 30 s. Handlers lose their context 5 s before its end.
	Grace time.Duration
	// TTL is how long a claim holds without renewal; 0 means 20 s.
	TTL time.Duration
	// Heartbeat is the time between two renewals, at most a third of TTL; 0 means 5 s, or that third if it is less.
	Heartbeat time.Duration
	// Name is how the worker's ID begins; "" means host-pid. A random part follows.
	Name string
	// Abandoned is called with the number of handlers that ignored the end of their context and still run, whenever it changes.
	Abandoned func(n int)
}

// Worker carries out steps. Make it with [NewWorker].
type Worker struct {
	client *Client
	engine *engine.Engine
	worker *asynqueue.Worker
}

// NewWorker returns a worker with a Redis connection of its own, which [Client.Close] closes. Nothing runs until [Worker.Run]. It takes 10 s at
// most. Errors: [ErrInvalid], [ErrUnavailable].
func NewWorker(c *Client, reg *tasks.Registry, cfg WorkerConfig) (*Worker, error) {
	if c == nil || reg == nil {
		return nil, fmt.Errorf("%w: worker: client and registry are required", ErrInvalid)
	}
	// Patient, unlike the client: a lost acknowledgement would deliver a finished step again.
	conn, e, err := c.connect(redisstore.Patient, cfg.TTL)
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	if len(cfg.Queues) == 0 {
		if cfg.Queues, err = queuesOf(e, reg.Names()); err != nil {
			return nil, fmt.Errorf("worker: %w", err)
		}
	}
	w, err := asynqueue.NewWorker(e, reg, asynqueue.WorkerOptions{
		Client: conn, Prefix: c.cfg.Prefix, Queues: cfg.Queues, Concurrency: cfg.Concurrency, Grace: cfg.Grace, Heartbeat: cfg.Heartbeat,
		Name: cfg.Name, Log: c.cfg.Log, Hooks: asynqueue.Hooks{Abandoned: cfg.Abandoned},
	})
	if err != nil {
		return nil, err
	}
	return &Worker{client: c, engine: e, worker: w}, nil
}

// queuesOf gives the same weight to every queue that the handlers can serve.
func queuesOf(e *engine.Engine, handlers []string) (map[string]int, error) {
	// As in engineOn: a constructor without a context, with a short bound.
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	servable, err := e.Servable(ctx, handlers)
	if err != nil {
		return nil, err
	}
	if len(servable) == 0 {
		return nil, fmt.Errorf("%w: there is no queue for which the registry has every handler that registered workflows use; "+
			"register the workflow first, or name the queues", ErrInvalid)
	}
	weights := make(map[string]int, len(servable))
	for _, q := range servable {
		weights[q] = 1
	}
	return weights, nil
}

// ID names the worker among all of the installation.
func (w *Worker) ID() string { return w.worker.ID() }

// Run serves the queues, and does an installation's housekeeping (hands over, takes over, ends runs at their deadline), until ctx ends. Then it
// drains: running handlers may finish, what does not is given back. It returns within the grace time. It may be called once.
func (w *Worker) Run(ctx context.Context) error {
	done, err := w.client.running()
	if err != nil {
		return errors.Join(errors.New("run worker "+w.ID()), err)
	}
	defer done()
	g, ctx := errgroup.WithContext(ctx) // the loops end with a worker that could not start
	g.Go(func() error { return w.engine.Run(ctx) })
	g.Go(func() error { return w.worker.Run(ctx) })
	return g.Wait()
}
