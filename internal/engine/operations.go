package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

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

// Retry queues failed or retrying steps again and opens the run again when it had failed.
//
// It and the other verbs return the run as it then is. Errors: [dag.ErrInvalid], [ErrNotFound] (no such run or step), [*StateError] (which state does
// not allow it, and which does), [ErrUnavailable].
func (e *Engine) Retry(ctx context.Context, req OperatorRequest) (dag.RunView, error) {
	return e.operate(ctx, &verb{
		name: "retry", about: aboutBoth, do: e.store.Retry,
		runs:  []dag.RunState{dag.RunRunning, dag.RunPaused, dag.RunFailed},
		steps: []dag.StepState{dag.StepFailed, dag.StepRetrying},
	}, &req)
}

// Skip settles a failed, queued, retrying or waiting step as skipped: its children go on without its output.
func (e *Engine) Skip(ctx context.Context, req OperatorRequest) (dag.RunView, error) {
	return e.operate(ctx, settling("skip", e.store.Skip), &req)
}

// Resolve settles a failed, queued, retrying or waiting step as succeeded, with an output that the operator gives.
func (e *Engine) Resolve(ctx context.Context, req OperatorRequest) (dag.RunView, error) {
	return e.operate(ctx, settling("resolve", e.store.Resolve), &req)
}

// Cancel ends an open run. Handlers that run are told by their heartbeats; until the last of them is through the run is cancelling.
func (e *Engine) Cancel(ctx context.Context, req OperatorRequest) (dag.RunView, error) {
	return e.operate(ctx, &verb{
		name: "cancel", about: aboutRun, do: e.store.Cancel,
		runs: []dag.RunState{dag.RunScheduled, dag.RunRunning, dag.RunPaused},
	}, &req)
}

// Pause keeps a running run from beginning steps. What runs goes on; its deadline waits.
func (e *Engine) Pause(ctx context.Context, req OperatorRequest) (dag.RunView, error) {
	return e.operate(ctx, &verb{name: "pause", about: aboutRun, do: e.store.Pause, runs: []dag.RunState{dag.RunRunning}}, &req)
}

// Resume lets a paused run go on.
func (e *Engine) Resume(ctx context.Context, req OperatorRequest) (dag.RunView, error) {
	return e.operate(ctx, &verb{name: "resume", about: aboutRun, do: e.store.Resume, runs: []dag.RunState{dag.RunPaused}}, &req)
}

// about is what a verb may be asked of.
type about int

const (
	aboutRun  about = iota
	aboutStep       // one step, which has to be named
	aboutBoth
)

// verb is one of the operator's. States are those that allow it; the store decides, they explain.
type verb struct {
	name  string
	about about
	runs  []dag.RunState
	steps []dag.StepState
	do    func(context.Context, dag.OperatorRequest) (dag.Operated, error)
}

// settling is a verb that decides a step's outcome in place of its handler.
func settling(name string, do func(context.Context, dag.OperatorRequest) (dag.Operated, error)) *verb {
	return &verb{
		name: name, about: aboutStep, do: do,
		runs:  []dag.RunState{dag.RunScheduled, dag.RunRunning, dag.RunPaused, dag.RunFailed},
		steps: []dag.StepState{dag.StepFailed, dag.StepQueued, dag.StepRetrying, dag.StepWaiting},
	}
}

// operate is the one way of every verb: check, change, hand over, tell.
func (e *Engine) operate(ctx context.Context, v *verb, req *OperatorRequest) (dag.RunView, error) {
	if err := v.check(req); err != nil {
		return dag.RunView{}, err
	}
	if req.Nonce == "" {
		req.Nonce = e.cfg.NewULID()
	}
	done, err := v.do(ctx, dag.OperatorRequest{
		Run: req.Run, Step: req.Step, Output: req.Output, Nonce: req.Nonce, Actor: req.Actor, Reason: req.Reason,
	})
	if err != nil {
		return dag.RunView{}, fmt.Errorf("%s run %s: %w", v.name, req.Run, err)
	}
	if err := v.refused(req, done); err != nil {
		return dag.RunView{}, err
	}
	if done.Reply == dag.ReplyOK {
		e.cfg.Log.InfoContext(ctx, "operator's request carried out",
			"verb", v.name, "run", req.Run, "step", req.Step, "actor", req.Actor, "reason", req.Reason, "state", done.Run)
		if h := e.cfg.Hooks.Operated; h != nil {
			h(v.name)
		}
	}
	e.handOver(ctx, done.Sends)
	view, err := e.store.Run(ctx, req.Run)
	if err != nil {
		return dag.RunView{}, fmt.Errorf("run %s after %s: %w", req.Run, v.name, err)
	}
	if done.Reply == dag.ReplyOK {
		e.runEnded(ctx, req.Run, view.Workflow, done.Run)
	}
	e.dropStale(ctx, view, done.Stale)
	return view, nil
}

// check refuses what no state of the run could make right.
func (v *verb) check(req *OperatorRequest) error {
	if _, err := dag.RunPartition(req.Run); err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	invalid := func(problem string) error {
		return fmt.Errorf("%s run %s: %w: %s", v.name, req.Run, dag.ErrInvalid, problem)
	}
	switch {
	case len(req.Reason) > dag.MaxReasonBytes || len(req.Actor) > dag.MaxLabelBytes:
		return invalid(fmt.Sprintf("reason of at most %d and actor of at most %d bytes", dag.MaxReasonBytes, dag.MaxLabelBytes))
	case v.about == aboutStep && req.Step == "":
		return invalid("name the step")
	case v.about == aboutRun && req.Step != "":
		return invalid("it is asked of a whole run; leave the step out")
	case v.name != "resolve" && req.Output != nil:
		return invalid("only resolve takes an output")
	case v.name != "resolve":
		return nil
	}
	if err := dag.CheckJSON(req.Output, dag.MaxOutputBytes); err != nil {
		return fmt.Errorf("resolve step %s of run %s: output: %w", req.Step, req.Run, err)
	}
	return nil
}

// refused is the error of a reply that is a refusal, else nil.
func (v *verb) refused(req *OperatorRequest, done dag.Operated) error {
	switch {
	case done.Reply == dag.ReplyNoRun:
		return fmt.Errorf("run %s: %w", req.Run, ErrNotFound)
	case done.Reply == dag.ReplyTooBig:
		return fmt.Errorf("%s step %s of run %s: %w: input and outputs of the run would exceed %d bytes; give a shorter output",
			v.name, req.Step, req.Run, dag.ErrInvalid, dag.MaxRunBytes)
	case done.Reply != dag.ReplyConflict:
		return nil
	case req.Step != "" && done.Step == "":
		return fmt.Errorf("step %s of run %s: %w", req.Step, req.Run, ErrNotFound)
	}
	return &StateError{Run: req.Run, State: done.Run, Step: req.Step, StepIs: done.Step, Allowed: v.allowed(req, done)}
}

// allowed says in words what the verb can be asked of, and why it cannot be asked of this.
func (v *verb) allowed(req *OperatorRequest, done dag.Operated) string {
	runs := v.name + " works on a " + either(v.runs) + " run"
	steps := v.name + " works on a " + either(v.steps) + " step of a " + either(v.runs) + " run"
	switch {
	case v.about == aboutRun:
		return runs
	case req.Step == "" && slices.Contains(v.runs, done.Run):
		return "there is no failed step to retry, or a step after it has begun; " + steps
	case req.Step == "":
		return steps
	case !slices.Contains(v.runs, done.Run):
		return "its run is " + string(done.Run) + "; " + steps
	case slices.Contains(v.steps, done.Step):
		return "a step after it has begun, so that its outcome stands"
	}
	return steps
}

// either lists states as words: failed, queued or retrying.
func either[S ~string](states []S) string {
	words := make([]string, len(states))
	for i, s := range states {
		words[i] = string(s)
	}
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// dropStale removes tasks of older deliveries, as far as it goes: what stays is answered with STALE or DONE and dropped.
func (e *Engine) dropStale(ctx context.Context, view dag.RunView, stale []dag.Delivery) {
	if len(stale) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	queues := make(map[string]string, len(view.Steps))
	for _, s := range view.Steps {
		queues[s.Name] = s.Queue
	}
	var g errgroup.Group
	g.SetLimit(enqueueWidth)
	for _, d := range stale {
		g.Go(func() error {
			if err := e.queue.Delete(ctx, queues[d.Step], d); err != nil {
				e.cfg.Log.DebugContext(ctx, "stale task not deleted", "run", d.Run, "step", d.Step, "err", err)
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
}
