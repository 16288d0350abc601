package asynqueue

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// leaveTime is the part of the grace time that remains after handlers lost their context, when the grace time is long enough.
	leaveTime = 5 * time.Second
	// markWidth bounds the concurrent heartbeats of a shutdown.
	markWidth = 16
)

// drain stops fetching, waits for handlers, ends their contexts when the grace time is almost over, marks what still runs, and signs off.
// stop ends asynq's server and returns when all deliveries have been answered. leave ends all that is ours and returns where the sign-off reports.
func (w *Worker) drain(life context.Context, stop func(), leave func() <-chan error) error {
	last := min(leaveTime, w.opts.Grace/2)
	over := time.NewTimer(w.opts.Grace)
	defer over.Stop()
	w.opts.Log.InfoContext(life, "worker drains", "worker", w.id, "grace", w.opts.Grace.String())
	down := make(chan struct{})
	go func() {
		defer close(down)
		stop()
	}()
	if !within(down, w.opts.Grace-last) {
		w.endHandlers()
		if !within(down, last*2/5) {
			w.markLeaving(life, last/5)
		}
	}
	signedOff := leave()
	for down != nil || signedOff != nil {
		select {
		case <-down:
			down = nil
		case err := <-signedOff:
			if signedOff = nil; err != nil {
				w.opts.Log.WarnContext(life, "worker not signed off; what it left counts as crashed", "worker", w.id, "err", err)
			}
		case <-over.C:
			return errors.New("worker " + w.id + ": asynq did not stop within the grace time of " + w.opts.Grace.String())
		}
	}
	w.opts.Log.InfoContext(life, "worker stopped", "worker", w.id)
	return nil
}

// within tells whether done was closed before d was over.
func within(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// endHandlers ends the contexts of all handlers, and of any that begins from now on.
func (w *Worker) endHandlers() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ending = true
	for a := range w.attempts {
		a.cancel(ErrShutdown)
	}
}

// markLeaving says of each step that still runs that its process leaves on purpose: its takeover is no crash.
func (w *Worker) markLeaving(life context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(life, d)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(markWidth)
	for _, a := range w.running() {
		a.log.WarnContext(ctx, "handler still runs at the end of the grace time; its step will be taken over")
		g.Go(func() error {
			a.beat(ctx, true)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
}

func (w *Worker) running() []*attempt {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]*attempt, 0, len(w.attempts))
	for a := range w.attempts {
		out = append(out, a)
	}
	return out
}

func (w *Worker) stopping() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ending
}

func (w *Worker) track(a *attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts[a] = struct{}{}
	if w.ending {
		a.cancel(ErrShutdown)
	}
}

func (w *Worker) untrack(a *attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.attempts, a)
}
