package asynqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// maxGraphs bounds the cache of graphs; beyond it the cache starts anew.
const maxGraphs = 256

// fetcher returns what reads the output of an ancestor that is no parent. It asks until Redis answers or the handler's context ends.
func (w *Worker) fetcher(claim *dag.Claim) func(ctx context.Context, step string) (json.RawMessage, error) {
	d := dag.Delivery{Run: claim.Run, Step: claim.Step, Epoch: claim.Epoch}
	return func(ctx context.Context, step string) (json.RawMessage, error) {
		type fetched struct {
			raw json.RawMessage
			err error // final
		}
		got, ok := repeat(ctx, w, "output", d, func(int) (fetched, error) {
			raw, err := w.fetch(ctx, claim, step)
			if errors.Is(err, tasks.ErrNoOutput) {
				return fetched{err: err}, nil
			}
			return fetched{raw: raw}, err
		})
		if !ok {
			return nil, fmt.Errorf("fetch: %w", ctx.Err())
		}
		return got.raw, got.err
	}
}

func (w *Worker) fetch(ctx context.Context, claim *dag.Claim, step string) (json.RawMessage, error) {
	graph, err := w.graphs.get(ctx, w.engine.Store(), claim)
	if err == nil && !slices.Contains(graph.Ancestors(claim.Step), step) {
		return nil, fmt.Errorf("%w: it is no ancestor of step %s", tasks.ErrNoOutput, claim.Step)
	}
	var raw json.RawMessage
	if err == nil {
		raw, err = w.engine.Store().Output(ctx, claim.Run, step)
	}
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return nil, tasks.ErrNoOutput
	case err != nil:
		return nil, fmt.Errorf("fetch: %w", err)
	}
	return raw, nil
}

// graphCache keeps graphs by digest. A graph never changes under its digest.
type graphCache struct {
	mu       sync.Mutex
	byDigest map[string]*dag.Graph
}

func (c *graphCache) get(ctx context.Context, reads engine.Reads, claim *dag.Claim) (*dag.Graph, error) {
	c.mu.Lock()
	graph, ok := c.byDigest[claim.Def]
	c.mu.Unlock()
	if ok {
		return graph, nil
	}
	graph, err := reads.Graph(ctx, claim.Run)
	if err != nil {
		return nil, fmt.Errorf("graph of run %s: %w", claim.Run, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byDigest == nil || len(c.byDigest) >= maxGraphs {
		c.byDigest = map[string]*dag.Graph{}
	}
	c.byDigest[claim.Def] = graph
	return graph, nil
}

// stepLog is the logger of an attempt, the handler's too: each line has what a dead letter has, so that the lines of a process that died are found.
func (w *Worker) stepLog(claim *dag.Claim) *slog.Logger {
	log := w.opts.Log.With("run", claim.Run, "step", claim.Step, "attempt", claim.Attempts, "workflow", claim.Workflow, "worker", w.id)
	if claim.CorrelationID != "" {
		log = log.With("correlation_id", claim.CorrelationID)
	}
	return log
}
