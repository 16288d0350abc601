package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// ids numbers runs of a session.
type ids struct{ n atomic.Int64 }

func (i *ids) next() string { return strconv.FormatInt(i.n.Add(1), 10) }

const workflowName = "bench/linear"

// ours is Stepwell with client and worker in one process.
type ours struct {
	site
	clients [2]redis.UniversalClient // of the engine, of asynq
	engine  *engine.Engine
	worker  *asynqueue.Worker
}

func openOurs(ctx context.Context, at site) (chain, error) {
	o := &ours{site: at}
	if err := o.connect(ctx); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

func (o *ours) connect(ctx context.Context) (err error) {
	for i := range o.clients {
		if o.clients[i], err = redisstore.Connect(redisstore.Options{URL: o.url, Profile: redisstore.Patient}); err != nil {
			return err
		}
	}
	store, err := redisstore.Open(ctx, o.clients[0], redisstore.Config{Prefix: o.prefix})
	if err != nil {
		return err
	}
	queue, err := asynqueue.NewQueue(o.clients[1], asynqueue.Options{Prefix: o.prefix})
	if err != nil {
		return err
	}
	if o.engine, err = engine.New(store, queue, definition.NewSchemas(), engine.Config{}); err != nil {
		return err
	}
	if err := o.engine.Register(ctx, linear(), "bench"); err != nil {
		return err
	}
	o.worker, err = asynqueue.NewWorker(o.engine, o.handlers(), asynqueue.WorkerOptions{
		Client: o.clients[1], Prefix: o.prefix, Queues: map[string]int{queueName: 1}, Concurrency: o.concurrency, Grace: grace,
	})
	return err
}

// linear is a workflow of five steps in a row.
func linear() *dag.Workflow {
	w := &dag.Workflow{Namespace: "bench", Name: "linear", Version: "1.0.0", Defaults: dag.Defaults{Queue: queueName}}
	for i := 1; i <= steps; i++ {
		s := dag.Step{Name: stepName(i), Handler: "bench." + stepName(i)}
		if i > 1 {
			s.DependsOn = []string{stepName(i - 1)}
		}
		w.Steps = append(w.Steps, s)
	}
	return w
}

func (o *ours) handlers() *tasks.Registry {
	reg := tasks.NewRegistry()
	for i := 1; i <= steps; i++ {
		tasks.Handle(reg, "bench."+stepName(i), func(ctx context.Context, s *tasks.Step) (json.RawMessage, error) { return o.handle(ctx, i, s) })
	}
	return reg
}

func (o *ours) handle(ctx context.Context, i int, s *tasks.Step) (json.RawMessage, error) {
	input, err := tasks.Input[json.RawMessage](s)
	if err != nil {
		return nil, err
	}
	var before json.RawMessage
	if i > 1 {
		if before, err = tasks.Output[json.RawMessage](ctx, s, stepName(i-1)); err != nil {
			return nil, err
		}
	}
	output, err := work(input, before)
	if err == nil && i == steps {
		o.ended(s.Run())
	}
	return output, err
}

// Start implements chain.
func (o *ours) Start(ctx context.Context, key string) (string, error) {
	started, err := o.engine.Start(ctx, engine.StartRequest{Workflow: workflowName, Input: document(inputBytes), Key: key})
	return started.Run.ID, err
}

// Work implements chain.
func (o *ours) Work(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return o.engine.Run(ctx) })
	g.Go(func() error { return o.worker.Run(ctx) })
	return g.Wait()
}

// Succeeded implements chain.
func (o *ours) Succeeded(ctx context.Context, run string) (bool, error) {
	view, err := o.engine.Store().Run(ctx, run)
	if err != nil {
		return false, err
	}
	if view.State.Ended() && view.State != dag.RunSucceeded {
		return false, fmt.Errorf("run %s is %s", run, view.State)
	}
	return view.State == dag.RunSucceeded, nil
}

// Close implements chain.
func (o *ours) Close() error {
	var all []error
	for _, c := range o.clients {
		if c != nil {
			all = append(all, c.Close())
		}
	}
	return errors.Join(all...)
}
