package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Begin claims a delivered step. Repeat it with the same request until it is answered.
func (e *Engine) Begin(ctx context.Context, req dag.BeginRequest) (dag.Begun, error) {
	req.TTL = e.cfg.TTL
	begun, err := e.store.Begin(ctx, req)
	if err != nil {
		return dag.Begun{}, fmt.Errorf("begin step %s of run %s: %w", req.Step, req.Run, err)
	}
	e.handed.drop(req.Delivery) // mostly begun, or of no use any more; where it still waits (BUSY, ALONE, PARKED) the sweeper reports it
	return begun, nil
}

// Heartbeat renews a claim. leaving says that the process is shutting down.
func (e *Engine) Heartbeat(ctx context.Context, ref dag.ClaimRef, leaving bool) (dag.Beat, error) {
	beat, err := e.store.Heartbeat(ctx, dag.HeartbeatRequest{ClaimRef: ref, TTL: e.cfg.TTL, Leaving: leaving})
	if err != nil {
		return dag.Beat{}, fmt.Errorf("heartbeat of step %s of run %s: %w", ref.Step, ref.Run, err)
	}
	return beat, nil
}

// Complete commits a step's output, then hands over the children that became ready. Repeat it until it is answered.
func (e *Engine) Complete(ctx context.Context, claim *dag.Claim, output json.RawMessage, took time.Duration) (dag.Settled, error) {
	settled, err := e.store.Complete(ctx, dag.CompleteRequest{ClaimRef: claim.ClaimRef, Output: output})
	if err != nil {
		return dag.Settled{}, fmt.Errorf("complete step %s of run %s: %w", claim.Step, claim.Run, err)
	}
	e.settled(ctx, claim, settled, took)
	return settled, nil
}

// Fail commits a failed attempt; after > 0 is the delay that the handler asked for, otherwise the policy's back-off decides. Repeat it until it is answered.
func (e *Engine) Fail(ctx context.Context, claim *dag.Claim, cause dag.StepError, after, took time.Duration) (dag.Settled, error) {
	delay := claim.Retry.Delay(claim.Failures+1, e.cfg.Random())
	if after > 0 {
		delay = claim.Retry.RetryAfter(after)
	}
	settled, err := e.store.Fail(ctx, dag.FailRequest{ClaimRef: claim.ClaimRef, Error: cause, Delay: delay})
	if err != nil {
		return dag.Settled{}, fmt.Errorf("fail step %s of run %s: %w", claim.Step, claim.Run, err)
	}
	e.settled(ctx, claim, settled, took, "code", cause.Code, "err", cause.Message)
	return settled, nil
}

// Release gives a step back at shutdown, without a failure or a crash. Repeat it until it is answered.
func (e *Engine) Release(ctx context.Context, claim *dag.Claim, took time.Duration) (dag.Settled, error) {
	settled, err := e.store.Release(ctx, claim.ClaimRef)
	if err != nil {
		return dag.Settled{}, fmt.Errorf("release step %s of run %s: %w", claim.Step, claim.Run, err)
	}
	e.settled(ctx, claim, settled, took)
	return settled, nil
}

// settled hands over what a change made ready, and tells the log and the hooks.
func (e *Engine) settled(ctx context.Context, claim *dag.Claim, s dag.Settled, took time.Duration, attrs ...any) {
	e.handOverBeside(ctx, s.Sends)
	if s.Reply != dag.ReplyOK {
		return
	}
	attrs = append([]any{
		"run", claim.Run, "step", claim.Step, "attempt", claim.Attempts, "workflow", claim.Workflow, "worker", claim.Worker,
		"state", s.Step, "took_ms", took.Milliseconds(),
	}, attrs...)
	e.cfg.Log.InfoContext(ctx, "step settled", attrs...)
	if h := e.cfg.Hooks.StepSettled; h != nil {
		h(claim, s.Step, took)
	}
	e.runEnded(ctx, claim.Run, claim.Workflow, s.Run)
}

func (e *Engine) runEnded(ctx context.Context, run, workflow string, state dag.RunState) {
	if !state.Ended() {
		return
	}
	e.cfg.Log.InfoContext(ctx, "run ended", "run", run, "workflow", workflow, "state", state)
	if h := e.cfg.Hooks.RunEnded; h != nil {
		h(workflow, state)
	}
}
