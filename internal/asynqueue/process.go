package asynqueue

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

const (
	repeatFirst = 100 * time.Millisecond // before the first repetition of a call that was not answered
	repeatMax   = time.Second            // before any later one
)

// handle is the one handler of the asynq server. It ignores asynq's context for steps, and works for as long as life does.
func (w *Worker) handle(life, task context.Context, t *asynq.Task) error {
	if t.Type() == tasks.TypeStart {
		return w.startRun(task, t.Payload(), t.Headers()[headerTraceParent])
	}
	return w.Deliver(life, t.Type(), t.Payload())
}

// Deliver takes one task of a step from its type and payload to the answer for the queue that delivered it: [OrderOf] reads the error. The
// servers of [Worker.Run] call it for each task; it needs nothing of asynq, so another queue may. Handlers, and the repetition of calls that were not
// answered, end with life. Start tasks have a way of their own.
func (w *Worker) Deliver(life context.Context, taskType string, payload []byte) error {
	p, err := tasks.DecodePayload(payload)
	if err != nil {
		w.opts.Log.ErrorContext(life, "task archived because its payload is not one of a step", "type", taskType, "err", err)
		return w.tell(answer{call: callNone, word: wordBadPayload}, 0, err.Error())
	}
	name, isStep := tasks.HandlerOf(taskType)
	handler, found := w.reg.Handler(name)
	if !isStep || !found {
		w.missing(life, taskType)
		return w.tell(answer{call: callNone, word: wordNoHandler}, 0, "this worker has no handler for task type "+taskType)
	}
	if w.stopping() {
		return w.tellShutdown()
	}
	req := dag.BeginRequest{
		Delivery: dag.Delivery{Run: p.Run, Step: p.Step, Epoch: p.Epoch},
		Def:      p.Def, Nonce: newNonce(), Worker: w.id,
	}
	return w.claim(life, req, name, handler)
}

// claim claims the step beside others, and alone when it must.
func (w *Worker) claim(life context.Context, req dag.BeginRequest, name string, h tasks.Handler) error {
	if !w.gate.enter(life) {
		return w.tell(answer{call: callNone, word: wordCrowded}, 0, "a step that crashed twice runs alone in this worker")
	}
	begun, err := w.begin(life, req)
	if err != nil || begun.Verdict != dag.VerdictAlone {
		defer w.gate.leave()
		return w.run(life, begun, err, name, h)
	}
	w.gate.leave()
	if !w.gate.enterAlone(life) {
		return w.tell(answer{call: callBegin, word: string(dag.VerdictAlone)}, 0, "the step crashed twice and must run alone; other steps run in this worker")
	}
	defer w.gate.leaveAlone()
	req.Alone = true
	begun, err = w.begin(life, req)
	return w.run(life, begun, err, name, h)
}

// run goes on after the last begin.
func (w *Worker) run(life context.Context, begun dag.Begun, err error, name string, h tasks.Handler) error {
	if err != nil {
		return err
	}
	if begun.Verdict != dag.VerdictRun {
		why := ""
		if begun.Verdict == dag.VerdictBusy {
			why = "the step is claimed by another worker, or is not due yet"
		}
		return w.tell(answer{call: callBegin, word: string(begun.Verdict)}, begun.Wait, why)
	}
	claim := &begun.Claim
	if claim.Handler != name {
		// A forged task. The frozen definition decides which handler runs: the step is given back, and gets a task of the right type.
		w.opts.Log.WarnContext(life, "task names another handler than its step's definition", "run", claim.Run, "step", claim.Step, "handler", claim.Handler)
		h = nil
	}
	a := &attempt{w: w, claim: claim, log: w.stepLog(claim), started: w.opts.Now()}
	return a.do(life, h)
}

// begin claims the step. It is repeated until it is answered, for as long as the process lives, because a claim may exist from the first time
// that it was sent. The error is one for asynq.
//
// The only exception is a first begin that found no connection. go-redis may have sent it before that and lost the reply; then a claim
// stays that nobody renews, and the sweeper issues the step again without counting a crash, for this worker is alive.
func (w *Worker) begin(life context.Context, req dag.BeginRequest) (dag.Begun, error) {
	var giveUp error
	begun, ok := repeat(life, w, "begin", req.Delivery, func(n int) (dag.Begun, error) {
		begun, err := w.engine.Begin(life, req)
		op, isNet := errors.AsType[*net.OpError](err)
		switch {
		case err == nil || life.Err() != nil:
			return begun, err
		case isNet && op.Op == "dial" && n == 1:
			giveUp = w.tell(answer{call: callNone, word: wordNotSent}, 0, err.Error())
			return dag.Begun{}, nil
		case !errors.Is(err, engine.ErrUnavailable):
			w.opts.Log.ErrorContext(life, "step cannot be begun", "run", req.Run, "step", req.Step, "err", err)
			giveUp = w.tell(answer{call: callNone, word: wordRefused}, 0, err.Error())
			return dag.Begun{}, nil
		}
		return begun, err
	})
	if !ok {
		return dag.Begun{}, w.tellShutdown()
	}
	return begun, giveUp
}

func (w *Worker) tellShutdown() error {
	return w.tell(answer{call: callNone, word: wordShutdown}, 0, "the worker is shutting down")
}

// repeat asks, with the number of the try from 1, until it is answered; ok is false when ctx ended before.
func repeat[T any](ctx context.Context, w *Worker, what string, d dag.Delivery, ask func(n int) (T, error)) (got T, ok bool) {
	wait := repeatFirst
	for n := 1; ; n++ {
		v, err := ask(n)
		if err == nil {
			return v, true
		}
		if n == 1 && ctx.Err() == nil {
			w.opts.Log.WarnContext(ctx, "no answer; asking again until there is one", "call", what, "run", d.Run, "step", d.Step, "err", err)
		}
		if !pause(ctx, wait) {
			return got, false
		}
		wait = min(2*wait, repeatMax)
	}
}

// pause waits; false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// newNonce is never used twice: 128 random bits.
func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}
