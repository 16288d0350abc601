package asynqueue_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// aloneRig is a rig with a poisonous run, whose step crashed twice, and a healthy one whose handler ends when it is told.
func aloneRig(r *rig) (poison, healthy, other dag.Send, run string, end chan struct{}) {
	end = make(chan struct{})
	r.reg.Add("shop.poison", func(context.Context, *tasks.Step) (json.RawMessage, error) {
		sleep(8 * time.Second)
		return nil, nil
	})
	r.reg.Add("shop.healthy", func(ctx context.Context, _ *tasks.Step) (json.RawMessage, error) {
		select {
		case <-end:
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	})
	w := one("shop.poison")
	w.Steps[0].Timeout = 10 * time.Second
	run = r.start(w)
	r.crash(r.next(), "n1")
	r.crash(r.next(), "n2")
	poison = r.next()
	w = one("shop.healthy")
	w.Name = "healthy"
	w.Steps[0].Timeout = time.Hour
	r.start(w)
	healthy = r.next()
	w.Name = "other"
	r.start(w)
	other = r.next()
	return poison, healthy, other, run, end
}

func TestTwiceCrashedStepRunsAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		poison, healthy, other, run, end := aloneRig(r)
		first := r.deliverInBackground(healthy)
		synctest.Wait()
		alone := r.deliverInBackground(poison)
		synctest.Wait()
		sleep(20 * time.Second)
		if step := r.step(run); step.State != dag.StepQueued {
			r.t.Fatalf("the poisonous step is %s beside another one", step.State)
		}
		second := r.deliverInBackground(other)
		synctest.Wait()
		close(end)
		if err := <-first; err != nil {
			r.t.Error(err)
		}
		synctest.Wait()
		if step := r.step(run); step.State != dag.StepRunning {
			r.t.Errorf("the poisonous step is %s when nothing else runs", step.State)
		}
		if step := r.step(other.Run); step.State != dag.StepQueued {
			r.t.Errorf("a healthy step is %s beside the poisonous one", step.State)
		}
		if err := <-alone; err != nil {
			r.t.Error(err)
		}
		if err := <-second; err != nil {
			r.t.Error(err)
		}
		for _, id := range []string{run, healthy.Run, other.Run} {
			if got := r.view(id).State; got != dag.RunSucceeded {
				r.t.Errorf("run %s is %s", id, got)
			}
		}
	})
}

func TestStepThatCannotBeAloneIsGivenBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		poison, healthy, other, run, end := aloneRig(r)
		first := r.deliverInBackground(healthy)
		synctest.Wait()
		began := time.Now()
		waits := r.deliverInBackground(poison)
		synctest.Wait()
		if err := <-waits; told(err) != "later" || time.Since(began) != 30*time.Second {
			r.t.Errorf("the waiter is told %v after %s, want to come again after 30s", err, time.Since(began))
		}
		if step := r.step(run); step.State != dag.StepQueued || step.Attempts != 2 {
			r.t.Errorf("step is %s after %d attempts, want queued and nothing claimed", step.State, step.Attempts)
		}
		close(end)
		if err := <-first; err != nil {
			r.t.Error(err)
		}
		if err := r.deliver(other); err != nil {
			r.t.Error(err)
		}
		if err := r.deliver(poison); err != nil {
			r.t.Error(err)
		}
	})
}
