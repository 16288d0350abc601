package app

import (
	"context"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// orders lets the shop's routes start, show and retry runs.
type orders struct{ engine *engine.Engine }

var _ checkout.Runs = orders{}

func (o orders) StartRun(ctx context.Context, order checkout.StartOrder) (dag.RunView, bool, error) {
	started, err := o.engine.Start(ctx, engine.StartRequest{
		Workflow: order.Workflow, Input: order.Input, Key: order.Key, Profiles: order.Profiles,
		CorrelationID: order.CorrelationID, TraceParent: order.TraceParent,
	})
	return started.Run, started.Replayed, err
}

func (o orders) Run(ctx context.Context, id string) (dag.RunView, error) {
	return o.engine.Store().Run(ctx, id)
}

func (o orders) RetryRun(ctx context.Context, id, actor, reason string) (dag.RunView, error) {
	return o.engine.Retry(ctx, engine.OperatorRequest{Run: id, Actor: actor, Reason: reason})
}
