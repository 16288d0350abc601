package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// operate asks for a verb by its name.
func (r *rig) operate(verb string, req engine.OperatorRequest) (dag.RunView, error) {
	r.t.Helper()
	verbs := map[string]func(context.Context, engine.OperatorRequest) (dag.RunView, error){
		"retry": r.Retry, "skip": r.Skip, "resolve": r.Resolve, "cancel": r.Cancel, "pause": r.Pause, "resume": r.Resume,
	}
	return verbs[verb](r.t.Context(), req)
}

// mustOperate asks for a verb that is allowed.
func (r *rig) mustOperate(verb string, req engine.OperatorRequest) dag.RunView {
	r.t.Helper()
	view, err := r.operate(verb, req)
	if err != nil {
		r.t.Fatal(err)
	}
	return view
}

// in brings a run into a state, with its first step in the state that goes with it.
func (r *rig) in(state dag.RunState) (run string) {
	r.t.Helper()
	switch state {
	case dag.RunScheduled:
		started, err := r.Start(r.t.Context(), engine.StartRequest{Workflow: "shop/order", Delay: time.Hour})
		if err != nil {
			r.t.Fatal(err)
		}
		run = started.Run.ID
	case dag.RunFailed, dag.RunSucceeded:
		run = r.finish(state == dag.RunFailed)
	default:
		run = r.start().ID
	}
	switch state {
	case dag.RunPaused:
		r.mustOperate("pause", engine.OperatorRequest{Run: run})
	case dag.RunCancelled:
		r.mustOperate("cancel", engine.OperatorRequest{Run: run})
	case dag.RunCancelling:
		r.take("w1")
		r.mustOperate("cancel", engine.OperatorRequest{Run: run})
	default:
	}
	if got := r.run(run).State; got != state {
		r.t.Fatalf("run is %s, want %s", got, state)
	}
	return run
}

func TestVerbsInTheWrongState(t *testing.T) {
	t.Parallel()
	const (
		skips   = "skip works on a failed, queued, retrying or waiting step of a scheduled, running, paused or failed run"
		retries = "retry works on a failed or retrying step of a running, paused or failed run"
		cancels = "cancel works on a scheduled, running or paused run"
	)
	for _, c := range []struct {
		verb  string
		state dag.RunState
		step  string
		is    dag.StepState
		says  string
	}{
		{"pause", dag.RunScheduled, "", "", "is scheduled; pause works on a running run"},
		{"pause", dag.RunPaused, "", "", "is paused; pause works on a running run"},
		{"pause", dag.RunFailed, "", "", "pause works on a running run"},
		{"resume", dag.RunRunning, "", "", "is running; resume works on a paused run"},
		{"resume", dag.RunCancelled, "", "", "resume works on a paused run"},
		{"cancel", dag.RunSucceeded, "", "", "is succeeded; " + cancels},
		{"cancel", dag.RunFailed, "", "", cancels},
		{"cancel", dag.RunCancelling, "", "", cancels},
		{"cancel", dag.RunCancelled, "", "", cancels},
		{"skip", dag.RunRunning, "b", dag.StepPending, "step b of run"},
		{"skip", dag.RunRunning, "b", dag.StepPending, "is pending; " + skips},
		{"skip", dag.RunSucceeded, "a", dag.StepSucceeded, "is succeeded; its run is succeeded; " + skips},
		{"skip", dag.RunCancelling, "a", dag.StepRunning, "is running; its run is cancelling; " + skips},
		{"resolve", dag.RunCancelled, "a", dag.StepCancelled, "its run is cancelled; resolve works on a failed"},
		{"retry", dag.RunCancelled, "a", dag.StepCancelled, "its run is cancelled; " + retries},
		{"retry", dag.RunCancelled, "", "", "is cancelled; " + retries},
		{"retry", dag.RunRunning, "a", dag.StepQueued, "is queued; " + retries},
		{"retry", dag.RunRunning, "", "", "there is no failed step to retry"},
	} {
		t.Run(c.verb+" "+c.step+" in a "+string(c.state)+" run", func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			run := r.in(c.state)
			before := r.run(run)
			req := engine.OperatorRequest{Run: run, Step: c.step}
			if c.verb == "resolve" {
				req.Output = json.RawMessage(`{}`)
			}
			_, err := r.operate(c.verb, req)
			if !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v; want a conflict that says %q", err, c.says)
			}
			state, _ := errors.AsType[*engine.StateError](err)
			if state == nil || state.State != c.state || state.StepIs != c.is {
				t.Errorf("%+v; want run %s, step %s", state, c.state, c.is)
			}
			if d := cmp.Diff(before, r.run(run)); d != "" {
				t.Errorf("run changed:\n%s", d)
			}
		})
	}
}

func TestVerbsRefuse(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	for name, c := range map[string]struct {
		verb string
		req  engine.OperatorRequest
		is   error
		says string
	}{
		"skip of no step":            {"skip", engine.OperatorRequest{}, dag.ErrInvalid, "name the step"},
		"resolve of no step":         {"resolve", engine.OperatorRequest{Output: json.RawMessage(`1`)}, dag.ErrInvalid, "name the step"},
		"skip of an unknown step":    {"skip", engine.OperatorRequest{Step: "zzz"}, engine.ErrNotFound, "step zzz"},
		"resolve of an unknown step": {"resolve", engine.OperatorRequest{Step: "zzz", Output: json.RawMessage(`1`)}, engine.ErrNotFound, "step zzz"},
		"cancel of a step":           {"cancel", engine.OperatorRequest{Step: "a"}, dag.ErrInvalid, "whole run"},
		"skip with an output":        {"skip", engine.OperatorRequest{Step: "a", Output: json.RawMessage(`1`)}, dag.ErrInvalid, "only resolve"},
		"long reason":                {"pause", engine.OperatorRequest{Reason: long}, dag.ErrInvalid, "1024"},
		"long actor":                 {"pause", engine.OperatorRequest{Actor: long}, dag.ErrInvalid, "256"},
		"no output":                  {"resolve", engine.OperatorRequest{Step: "a"}, dag.ErrInvalid, "empty"},
		"output no JSON":             {"resolve", engine.OperatorRequest{Step: "a", Output: json.RawMessage(`{"a"`)}, dag.ErrInvalid, "JSON"},
		"output too deep": {
			"resolve", engine.OperatorRequest{Step: "a", Output: json.RawMessage(strings.Repeat("[", 65) + strings.Repeat("]", 65))}, dag.ErrInvalid, "deeper",
		},
		"output too large": {
			"resolve", engine.OperatorRequest{Step: "a", Output: json.RawMessage(`"` + strings.Repeat("x", dag.MaxOutputBytes) + `"`)}, dag.ErrInvalid, "262144",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			c.req.Run = r.in(dag.RunRunning)
			if _, err := r.operate(c.verb, c.req); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want an error that is %q and says %q", err, c.is, c.says)
			}
		})
	}
	for _, verb := range []string{"retry", "skip", "resolve", "cancel", "pause", "resume"} {
		t.Run(verb+" of an unknown run", func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			req := engine.OperatorRequest{Run: dag.NewRunID(1, "01ARZ3NDEKTSV4RRFFQ69G5FAV")}
			switch verb {
			case "resolve":
				req.Output = json.RawMessage(`1`)
				fallthrough
			case "skip":
				req.Step = "a"
			}
			if _, err := r.operate(verb, req); !errors.Is(err, engine.ErrNotFound) {
				t.Errorf("%v, want not found", err)
			}
			req.Run = "nonsense"
			if _, err := r.operate(verb, req); !errors.Is(err, dag.ErrInvalid) {
				t.Errorf("of no run ID: %v, want invalid", err)
			}
		})
	}
}

// Each output is within its limit; all together are not.
func TestResolveKeepsARunWithinItsLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wide := &dag.Workflow{Namespace: "shop", Name: "wide", Version: "1.0.0"}
	for i := range 17 {
		wide.Steps = append(wide.Steps, dag.Step{Name: "s" + strconv.Itoa(i), Handler: "shop.a"})
	}
	r.register(wide)
	started, err := r.Start(t.Context(), engine.StartRequest{Workflow: "shop/wide"})
	if err != nil {
		t.Fatal(err)
	}
	large := json.RawMessage(`"` + strings.Repeat("x", dag.MaxOutputBytes-2) + `"`)
	resolve := func(i int) error {
		_, err := r.Resolve(t.Context(), engine.OperatorRequest{Run: started.Run.ID, Step: "s" + strconv.Itoa(i), Output: large})
		return err
	}
	for i := range 15 {
		if err := resolve(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := resolve(15); !errors.Is(err, dag.ErrInvalid) || !strings.Contains(err.Error(), "4194304") {
		t.Errorf("the output that is too much: %v, want invalid with the limit", err)
	}
}

func TestSkipAndResolveLetARunGoOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run := r.finish(true)
	r.mustOperate("skip", engine.OperatorRequest{Run: run, Step: "a"})
	r.complete(r.take("w1"))
	c := r.take("w1")
	if c.Step != "c" {
		t.Fatalf("step %s is next, want c", c.Step)
	}
	if _, err := r.Fail(t.Context(), c, dag.StepError{Code: "NO"}, 0, 0); err != nil {
		t.Fatal(err)
	}
	view := r.mustOperate("resolve", engine.OperatorRequest{Run: run, Step: "c", Output: json.RawMessage(`{"by":"hand"}`)})
	if view.State != dag.RunSucceeded || view.Progress.Percentage != 100 || string(view.Steps[2].Output) != `{"by":"hand"}` {
		t.Errorf("run is %s at %d%%, c gave %s; want it succeeded with the operator's output", view.State, view.Progress.Percentage, view.Steps[2].Output)
	}
	if d := cmp.Diff([]dag.RunState{dag.RunFailed, dag.RunFailed, dag.RunSucceeded}, r.seen.ended); d != "" {
		t.Errorf("ends that were told (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"skip", "resolve"}, r.seen.verbs); d != "" {
		t.Errorf("verbs that were told (-want +got):\n%s", d)
	}
}

func TestCancelReachesQueueAndHandler(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	queued := r.start().ID
	if view := r.mustOperate("cancel", engine.OperatorRequest{Run: queued}); view.State != dag.RunCancelled {
		t.Errorf("run is %s, want cancelled at once", view.State)
	}
	if d := cmp.Diff([]dag.Delivery{{Run: queued, Step: "a", Epoch: 1}}, r.queue.Deleted()); d != "" {
		t.Errorf("tasks deleted (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]dag.RunState{dag.RunCancelled}, r.seen.ended); d != "" {
		t.Errorf("ends that were told (-want +got):\n%s", d)
	}
	running := r.start().ID
	c := r.take("w1")
	if view := r.mustOperate("cancel", engine.OperatorRequest{Run: running}); view.State != dag.RunCancelling {
		t.Errorf("run is %s, want cancelling", view.State)
	}
	if beat, err := r.Heartbeat(t.Context(), c.ClaimRef, false); err != nil || beat.Run != dag.RunCancelling || beat.Lost {
		t.Errorf("heartbeat %+v, %v; want it to tell that the run is cancelling", beat, err)
	}
	if _, err := r.Release(t.Context(), c, 0); err != nil {
		t.Fatal(err)
	}
	if got := r.run(running).State; got != dag.RunCancelled {
		t.Errorf("run is %s after its handler returned, want cancelled", got)
	}
}

func TestPausedRunBeginsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run := r.start().ID
	r.complete(r.take("w1"))
	r.mustOperate("pause", engine.OperatorRequest{Run: run})
	r.Quiesce()
	send, _ := r.queue.Take()
	begun, err := r.Begin(t.Context(), dag.BeginRequest{Delivery: send.Delivery, Def: send.Def, Nonce: "n", Worker: "w1"})
	if err != nil || begun.Verdict != dag.VerdictParked {
		t.Fatalf("begin in a paused run: %s, %v", begun.Verdict, err)
	}
	r.queue.Done(send.Delivery)
	r.pass(10 * time.Minute) // longer than any look at a task would wait
	r.empty()
	r.store.Advance(48 * time.Hour) // its deadline waits as well
	r.pass(3 * time.Second)
	if view := r.mustOperate("resume", engine.OperatorRequest{Run: run}); view.State != dag.RunRunning {
		t.Fatalf("run is %s, want running", view.State)
	}
	r.complete(r.take("w1"))
	r.complete(r.take("w1"))
	if got := r.run(run).State; got != dag.RunSucceeded {
		t.Errorf("run is %s, want succeeded", got)
	}
}

// The log of the process is the trail of who did what; a request that is repeated is in it once.
func TestOperatorLeavesATrail(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var log bytes.Buffer
	r.use(engine.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	run := r.start().ID
	for range 2 {
		r.mustOperate("pause", engine.OperatorRequest{Run: run, Actor: "ann", Reason: "stocktaking", Nonce: "n1"})
	}
	want := []string{"verb=pause", "run=" + run, "actor=ann", "reason=stocktaking", "state=paused"}
	lines := 0
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, "operator's request") {
			continue
		}
		lines++
		for _, w := range want {
			if !strings.Contains(line, w) {
				t.Errorf("the trail lacks %s: %s", w, line)
			}
		}
	}
	if lines != 1 || len(r.seen.verbs) != 1 {
		t.Errorf("%d lines, %d calls of the hook; want one of each", lines, len(r.seen.verbs))
	}
	entries, err := r.store.Log(t.Context(), run)
	if last := entries[len(entries)-1]; err != nil || last.Event != "paused" || last.Actor != "ann" || last.Message != "stocktaking" {
		t.Errorf("last line of the run's log %+v, %v", last, err)
	}
}
