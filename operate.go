package stepwell

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// RetryOptions say what to retry, and who asks and why for the run's log.
type RetryOptions struct {
	Step   string // "" means every failed step of the run
	Reason string
	Actor  string
}

// Retry runs failed steps again, and opens the run again when it had failed. A step that waits for its next attempt is tried at once.
//
// It and the other verbs return the run as it then is. Errors: [ErrInvalid], [ErrNotFound] (no such run or step), [ErrConflict] (the state does not
// allow it; the text says which state does), [ErrUnavailable]. What was asked for is in the run's log with its reason and actor.
func (c *Client) Retry(ctx context.Context, run string, opts RetryOptions) (dag.RunView, error) {
	return c.engine.Retry(ctx, engine.OperatorRequest{Run: run, Step: opts.Step, Actor: opts.Actor, Reason: opts.Reason})
}

// VerbOptions say who asks and why, for the run's log.
type VerbOptions struct {
	Reason string
	Actor  string
}

// Cancel ends an open run. What waits is cancelled at once; a handler that runs loses its context within a heartbeat, and until the last has returned
// the run is cancelling. What has succeeded stays done.
func (c *Client) Cancel(ctx context.Context, run string, opts VerbOptions) (dag.RunView, error) {
	return c.engine.Cancel(ctx, engine.OperatorRequest{Run: run, Actor: opts.Actor, Reason: opts.Reason})
}

// Pause keeps a running run from beginning steps, and stops its deadline. Handlers that run go on.
func (c *Client) Pause(ctx context.Context, run string, opts VerbOptions) (dag.RunView, error) {
	return c.engine.Pause(ctx, engine.OperatorRequest{Run: run, Actor: opts.Actor, Reason: opts.Reason})
}

// Resume lets a paused run go on, with the time that it had left.
func (c *Client) Resume(ctx context.Context, run string, opts VerbOptions) (dag.RunView, error) {
	return c.engine.Resume(ctx, engine.OperatorRequest{Run: run, Actor: opts.Actor, Reason: opts.Reason})
}

// Skip settles a step that failed or has not begun its attempt as skipped: the steps after it go on, without its output. A run that had failed is opened
// again.
func (c *Client) Skip(ctx context.Context, run, step string, opts VerbOptions) (dag.RunView, error) {
	return c.engine.Skip(ctx, engine.OperatorRequest{Run: run, Step: step, Actor: opts.Actor, Reason: opts.Reason})
}

// Resolve is Skip with an output in place of the handler's: the step has succeeded. Output is written as JSON, a json.RawMessage is taken as it is.
func (c *Client) Resolve(ctx context.Context, run, step string, output any, opts VerbOptions) (dag.RunView, error) {
	raw, isRaw := output.(json.RawMessage)
	if !isRaw {
		var err error
		if raw, err = json.Marshal(output); err != nil {
			return dag.RunView{}, fmt.Errorf("resolve step %s of run %s: %w output: %w", step, run, ErrInvalid, err)
		}
	}
	return c.engine.Resolve(ctx, engine.OperatorRequest{Run: run, Step: step, Output: raw, Actor: opts.Actor, Reason: opts.Reason})
}
