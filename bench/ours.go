package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stepwell/stepwell"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

const workflowName = "bench/linear"

// ours is Stepwell with client and worker in one process.
type ours struct {
	site
	client *stepwell.Client
	worker *stepwell.Worker
}

func openOurs(ctx context.Context, at site) (chain, error) {
	client, err := stepwell.NewClient(stepwell.Config{RedisURL: at.url, Prefix: at.prefix}) //nolint:contextcheck // it takes none
	if err != nil {
		return nil, err
	}
	o := &ours{site: at, client: client}
	if err := o.hire(ctx); err != nil {
		return nil, errors.Join(err, o.Close(ctx))
	}
	return o, nil
}

func (o *ours) hire(ctx context.Context) (err error) {
	if err := o.client.Register(ctx, linear()); err != nil {
		return err
	}
	cfg := stepwell.WorkerConfig{Concurrency: o.concurrency, Grace: grace}
	o.worker, err = stepwell.NewWorker(o.client, o.handlers(), cfg) //nolint:contextcheck // it takes none
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
	run, err := o.client.Start(ctx, workflowName, document(inputBytes), stepwell.StartOptions{Key: key})
	return run.ID, err
}

// Work implements chain.
func (o *ours) Work(ctx context.Context) error { return o.worker.Run(ctx) }

// Succeeded implements chain.
func (o *ours) Succeeded(ctx context.Context, run string) (bool, error) {
	view, err := o.client.Get(ctx, run)
	if err != nil {
		return false, err
	}
	if view.State.Ended() && view.State != dag.RunSucceeded {
		return false, fmt.Errorf("run %s is %s", run, view.State)
	}
	return view.State == dag.RunSucceeded, nil
}

// Close implements chain.
func (o *ours) Close(ctx context.Context) error { return o.client.Close(ctx) }
