package asynqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// Why a handler's context ended, as context.Cause tells.
var (
	// ErrTimeout is the end of the step's timeout.
	ErrTimeout = errors.New("the step's timeout is over")
	// ErrLost says that another claim holds the step, or none; the handler's work is for nothing.
	ErrLost = errors.New("the claim of the step was lost")
	// ErrRunCancelled says that the run was cancelled.
	ErrRunCancelled = errors.New("the run was cancelled")
	// ErrShutdown says that the worker's grace time is almost over.
	ErrShutdown = errors.New("the worker is shutting down")
)

const (
	// beatTimeout bounds one heartbeat, so that a hung connection does not eat the time for the next.
	beatTimeout = 3 * time.Second
	// abandonAfter is what a handler gets beyond its timeout to return what its context made of it.
	abandonAfter = time.Second
)

// attempt is one claimed step from its begin to the last answer.
type attempt struct {
	w       *Worker
	claim   *dag.Claim
	log     *slog.Logger
	started time.Time
	took    time.Duration // of the handler
	cancel  context.CancelCauseFunc
	state   atomic.Int32
}

// Who of the handler's goroutine and the wrapper came first.
const (
	handlerRuns int32 = iota
	handlerReturned
	handlerAbandoned
)

// do runs the handler and reports what became of it; without a handler it gives the step back. The error is one for asynq.
func (a *attempt) do(life context.Context, h tasks.Handler) error {
	ctx, cancel := context.WithCancelCause(life)
	defer cancel(nil)
	a.cancel = cancel
	a.w.track(a)
	defer a.w.untrack(a)
	defer a.keepAlive(life)()
	if h == nil {
		return a.release(life)
	}
	a.log.InfoContext(life, "step begun")
	ctx, stop := context.WithTimeoutCause(ctx, a.claim.Timeout, ErrTimeout)
	defer stop()
	out := a.call(life, ctx, h)
	a.took = a.w.opts.Now().Sub(a.started)
	return a.settle(life, context.Cause(ctx), out)
}

// keepAlive renews the claim until the returned func is called, and ends the handler's context when the answer says so.
func (a *attempt) keepAlive(life context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(life)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(a.w.opts.Heartbeat)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if lost := a.beat(ctx, false); lost {
					return
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// beat renews the claim once. A renewal that is not answered is left to the next one.
func (a *attempt) beat(ctx context.Context, leaving bool) (lost bool) {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	beat, err := a.w.engine.Heartbeat(ctx, a.claim.ClaimRef, leaving)
	switch {
	case err != nil:
		a.log.DebugContext(ctx, "claim not renewed", "err", err)
	case beat.Lost:
		a.cancel(ErrLost)
		return true
	case beat.Run == dag.RunCancelling || beat.Run == dag.RunCancelled:
		a.cancel(ErrRunCancelled)
	}
	return false
}

// call runs the handler in a goroutine of its own and waits for it until a little after its timeout, or until the process ends.
func (a *attempt) call(life, ctx context.Context, h tasks.Handler) outcome {
	step := tasks.NewStep(*a.claim, a.w.fetcher(a.claim), a.log)
	returned := make(chan outcome, 1)
	go invoke(ctx, step, h, func(out outcome) {
		if a.state.CompareAndSwap(handlerRuns, handlerReturned) {
			returned <- out
			return
		}
		a.w.countAbandoned(-1)
		a.log.WarnContext(ctx, "abandoned handler returned; its result is dropped")
	})
	timer := time.NewTimer(a.claim.Timeout + abandonAfter)
	defer timer.Stop()
	var out outcome
	select {
	case out = <-returned:
		return out
	case <-timer.C:
		out.fault = a.timeout("")
	case <-life.Done():
		out.gone = true
	}
	if !a.state.CompareAndSwap(handlerRuns, handlerAbandoned) {
		return <-returned // at this very moment
	}
	a.w.countAbandoned(1)
	a.log.WarnContext(life, "handler ignores the end of its context and is left behind", "handler", a.claim.Handler)
	return out
}

func (a *attempt) timeout(detail string) *dag.StepError {
	return &dag.StepError{Code: dag.CodeTimeout, Message: clip("did not return within "+a.claim.Timeout.String()+detail, dag.MaxErrorBytes), Retryable: true}
}

// settle reports the outcome; cause is why the handler's context had ended, nil when it had not.
func (a *attempt) settle(life context.Context, cause error, out outcome) error {
	switch {
	case out.gone:
		return a.w.tellShutdown()
	case out.fault != nil:
		return a.fail(life, *out.fault, 0)
	case out.err == nil:
		return a.complete(life, out.output)
	case errors.Is(cause, ErrShutdown):
		return a.release(life)
	}
	e, after, _ := tasks.Classify(out.err)
	if errors.Is(cause, ErrTimeout) && e.Code == dag.CodeError && e.Retryable && isContextError(out.err) {
		e = *a.timeout(": " + out.err.Error())
	}
	return a.fail(life, e, after)
}

func isContextError(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func (a *attempt) complete(life context.Context, output json.RawMessage) error {
	if fault := checkOutput(output); fault != nil {
		return a.fail(life, *fault, 0)
	}
	s, ok := repeat(life, a.w, "complete", a.delivery(), func(int) (dag.Settled, error) {
		return a.w.engine.Complete(life, a.claim, output, a.took)
	})
	if ok && s.Reply == dag.ReplyTooBig {
		return a.fail(life, dag.StepError{
			Code:    dag.CodeOutputTooLarge,
			Message: fmt.Sprintf("with this output of %d bytes the run's input and outputs are above the limit of %d", len(output), dag.MaxRunBytes),
		}, 0)
	}
	return a.conclude(life, callComplete, s, ok, "")
}

func (a *attempt) fail(life context.Context, cause dag.StepError, after time.Duration) error {
	s, ok := repeat(life, a.w, "fail", a.delivery(), func(int) (dag.Settled, error) {
		return a.w.engine.Fail(life, a.claim, cause, after, a.took)
	})
	return a.conclude(life, callFail, s, ok, cause.Code+": "+cause.Message)
}

func (a *attempt) release(life context.Context) error {
	s, ok := repeat(life, a.w, "release", a.delivery(), func(int) (dag.Settled, error) {
		return a.w.engine.Release(life, a.claim, a.took)
	})
	return a.conclude(life, callRelease, s, ok, "")
}

// conclude turns the last answer into what asynq gets.
func (a *attempt) conclude(life context.Context, c call, s dag.Settled, answered bool, why string) error {
	if !answered {
		return a.w.tellShutdown()
	}
	said := answer{call: c, word: string(s.Reply)}
	switch {
	case s.Reply == dag.ReplyFenced:
		a.log.WarnContext(life, "result dropped: the step was taken over meanwhile", "call", c)
		a.beat(life, false) // we live: it may take back a crash that was counted against us
	case c == callFail:
		said.state = s.Step
	}
	return a.w.tell(said, s.Delay, why)
}

func (a *attempt) delivery() dag.Delivery {
	return dag.Delivery{Run: a.claim.Run, Step: a.claim.Step, Epoch: a.claim.Epoch}
}
