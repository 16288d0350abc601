package asynqueue_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// drain drains the rig's worker as Run does, with an asynq server that is down when the given deliveries have been answered.
func (r *rig) drain(answers ...<-chan error) (took time.Duration, told []error, err error) {
	r.t.Helper()
	began := time.Now()
	got := make(chan error, len(answers))
	stop := func() {
		for _, a := range answers {
			got <- <-a
		}
	}
	err = r.Drain(r.life, stop, func() <-chan error {
		r.end()
		done := make(chan error, 1)
		done <- nil
		return done
	})
	for len(got) > 0 {
		told = append(told, <-got)
	}
	return time.Since(began), told, err
}

func TestShutdownReleasesWhatReturns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler  tasks.Handler
		took     time.Duration
		told     string
		state    dag.StepState
		attempts int
	}{
		"a handler that gets done in time": {
			func(context.Context, *tasks.Step) (json.RawMessage, error) {
				sleep(10 * time.Second)
				return nil, nil
			},
			10 * time.Second, "drop", dag.StepSucceeded, 1,
		},
		"a handler that stops": {
			func(ctx context.Context, _ *tasks.Step) (json.RawMessage, error) {
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), asynqueue.ErrShutdown) {
					return nil, tasks.Permanent("CAUSE", context.Cause(ctx))
				}
				return nil, ctx.Err()
			},
			25 * time.Second, "drop", dag.StepQueued, 1,
		},
		"a handler that still has a result": {
			func(ctx context.Context, _ *tasks.Step) (json.RawMessage, error) {
				<-ctx.Done()
				return json.RawMessage("1"), nil
			},
			25 * time.Second, "drop", dag.StepSucceeded, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(r *rig) {
				r.reg.Add("shop.x", c.handler)
				w := one("shop.x")
				w.Steps[0].Timeout = time.Hour
				run := r.start(w)
				answer := r.deliverInBackground(r.next())
				synctest.Wait()
				took, answers, err := r.drain(answer)
				if err != nil || took != c.took || told(answers[0]) != c.told {
					r.t.Errorf("drained in %s, told %v, %v; want %s, %s", took, answers, err, c.took, c.told)
				}
				step := r.step(run)
				if step.State != c.state || step.Attempts != c.attempts || step.Failures != 0 || step.Crashes != 0 {
					r.t.Errorf("step is %s with %d attempts, %d failures, %d crashes; want %s, no failure, no crash", step.State, step.Attempts, step.Failures, step.Crashes, c.state)
				}
				r.engine.Quiesce()
				if _, queued := r.queue.Take(); queued != (c.state == dag.StepQueued) {
					r.t.Errorf("handed over again: %t", queued)
				}
			})
		})
	}
}

func TestShutdownMarksWhatDoesNotReturn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		wake := make(chan struct{})
		r.reg.Add("shop.deaf", func(context.Context, *tasks.Step) (json.RawMessage, error) { <-wake; return nil, nil })
		w := one("shop.deaf")
		w.Steps[0].Timeout = time.Hour
		run := r.start(w)
		answer := r.deliverInBackground(r.next())
		synctest.Wait()
		took, answers, err := r.drain(answer)
		if err != nil || took > 30*time.Second || told(answers[0]) != "later" {
			r.t.Errorf("drained in %s, told %v, %v", took, answers, err)
		}
		r.takeOver(run, true) // the sweeper believes it was a crash
		if step := r.step(run); step.State != dag.StepQueued || step.Crashes != 0 {
			r.t.Errorf("step is %s with %d crashes, want queued without a crash: its process said that it leaves", step.State, step.Crashes)
		}
		close(wake)
		synctest.Wait()
	})
}

func TestShutdownEndsInTimeWithoutRedis(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.reg.Add("shop.x", func(ctx context.Context, _ *tasks.Step) (json.RawMessage, error) { <-ctx.Done(); return nil, ctx.Err() })
		w := one("shop.x")
		w.Steps[0].Timeout = time.Hour
		r.start(w)
		answer := r.deliverInBackground(r.next())
		synctest.Wait()
		r.onCall(func(string) enginetest.Fault { return enginetest.FaultRefused })
		never := make(chan error)
		took, _, err := r.drain(answer, never)
		if took != 30*time.Second || err == nil || !strings.Contains(err.Error(), "grace time of 30s") {
			r.t.Errorf("drained in %s with %v; want an error at 30s", took, err)
		}
		close(never)
		synctest.Wait()
	})
}

func TestNothingBeginsAfterHandlersWereEnded(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.reg.Add("shop.x", func(context.Context, *tasks.Step) (json.RawMessage, error) {
			t.Error("the handler ran")
			return nil, nil
		})
		run := r.start(one("shop.x"))
		busy := make(chan error)
		go func() {
			sleep(26 * time.Second)
			busy <- r.deliver(r.next())
		}()
		_, answers, err := r.drain(busy)
		if err != nil || told(answers[0]) != "later" {
			r.t.Errorf("told %v, %v", answers, err)
		}
		if step := r.step(run); step.State != dag.StepQueued || step.Attempts != 0 {
			r.t.Errorf("step is %s after %d attempts", step.State, step.Attempts)
		}
	})
}
