package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stepwell/stepwell/pkg/dag"
)

// OperatorRequest is what an operator asks of a run, or of a step of it.
type OperatorRequest struct {
	Run    string
	Step   string          // of retry, skip and resolve; a retry without it means every failed step of the run
	Output json.RawMessage // of resolve
	Actor  string          // who asks
	Reason string
	// Nonce makes the request idempotent; "" means a new one.
	Nonce string
}

// Retry queues failed or retrying steps again and opens the run again when it had failed. It returns the run as it then is.
//
// Errors: [dag.ErrInvalid], [ErrNotFound] (no such run or step), [*StateError] (which state does not allow it), [ErrUnavailable].
func (e *Engine) Retry(ctx context.Context, req OperatorRequest) (dag.RunView, error) {
	if _, err := dag.RunPartition(req.Run); err != nil {
		return dag.RunView{}, fmt.Errorf("retry: %w", err)
	}
	if len(req.Reason) > dag.MaxReasonBytes || len(req.Actor) > dag.MaxLabelBytes {
		return dag.RunView{}, fmt.Errorf("retry run %s: %w: reason of at most %d and actor of at most %d bytes", req.Run, dag.ErrInvalid, dag.MaxReasonBytes, dag.MaxLabelBytes)
	}
	if req.Nonce == "" {
		req.Nonce = e.cfg.NewULID()
	}
	retried, err := e.store.Retry(ctx, dag.OperatorRequest{Run: req.Run, Step: req.Step, Nonce: req.Nonce, Actor: req.Actor, Reason: req.Reason})
	if err != nil {
		return dag.RunView{}, fmt.Errorf("retry run %s: %w", req.Run, err)
	}
	if retried.Reply == dag.ReplyNoRun {
		return dag.RunView{}, fmt.Errorf("run %s: %w", req.Run, ErrNotFound)
	}
	if retried.Reply == dag.ReplyConflict {
		return dag.RunView{}, e.retryConflict(&req, retried)
	}
	if retried.Reply == dag.ReplyOK {
		e.cfg.Log.InfoContext(ctx, "run retried", "run", req.Run, "step", req.Step, "actor", req.Actor, "reason", req.Reason)
	}
	e.handOver(ctx, retried.Sends)
	view, err := e.store.Run(ctx, req.Run)
	if err != nil {
		return dag.RunView{}, fmt.Errorf("retried run %s: %w", req.Run, err)
	}
	e.dropStale(ctx, view, retried.Stale)
	return view, nil
}

func (e *Engine) retryConflict(req *OperatorRequest, r dag.Operated) error {
	if req.Step != "" && r.Step == "" {
		return fmt.Errorf("step %s of run %s: %w", req.Step, req.Run, ErrNotFound)
	}
	allowed := "there is no failed step to retry; retry works on failed or retrying steps of a running or failed run"
	if r.Step == dag.StepFailed {
		allowed = "it cannot be retried because a step after it has begun, or the run was cancelled"
	}
	return &StateError{Run: req.Run, State: r.Run, Step: req.Step, StepIs: r.Step, Allowed: allowed}
}

// dropStale removes tasks of older deliveries, as far as it goes: what stays is answered with STALE and dropped.
func (e *Engine) dropStale(ctx context.Context, view dag.RunView, stale []dag.Delivery) {
	queues := make(map[string]string, len(view.Steps))
	for _, s := range view.Steps {
		queues[s.Name] = s.Queue
	}
	for _, d := range stale {
		if err := e.queue.Delete(ctx, queues[d.Step], d); err != nil {
			e.cfg.Log.DebugContext(ctx, "stale task not deleted", "run", d.Run, "step", d.Step, "err", err)
		}
	}
}

// Redriven is what became of one dead letter.
type Redriven struct {
	Run, Step string
	Err       error // nil when it was queued again
}

// Redrive retries the given dead letters one by one and reports on each.
func (e *Engine) Redrive(ctx context.Context, letters []OperatorRequest) []Redriven {
	out := make([]Redriven, len(letters))
	for i, l := range letters {
		_, err := e.Retry(ctx, l)
		out[i] = Redriven{Run: l.Run, Step: l.Step, Err: err}
		if errors.Is(err, context.Canceled) {
			return out[:i+1]
		}
	}
	return out
}
