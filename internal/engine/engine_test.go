package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestRunGoesThroughItsStepsInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run := r.start()
	var ran []string
	for range 3 {
		c := r.take("w1")
		ran = append(ran, c.Handler)
		r.complete(c)
	}
	r.empty()
	if diff := cmp.Diff([]string{"shop.a", "shop.b", "shop.c"}, ran); diff != "" {
		t.Errorf("steps ran (-want +got):\n%s", diff)
	}
	if got := r.run(run.ID); got.State != dag.RunSucceeded || got.Progress.Percentage != 100 {
		t.Errorf("run is %s at %d%%, want succeeded at 100%%", got.State, got.Progress.Percentage)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	strict := linear("1.0.0")
	strict.Name, strict.InputSchema = "strict", json.RawMessage(`{"required":["a"]}`)
	long := strings.Repeat("x", 300)
	for name, c := range map[string]struct {
		req  engine.StartRequest
		is   error
		says string
	}{
		"no workflow of that name": {engine.StartRequest{Workflow: "shop/nothing"}, engine.ErrNotFound, "GET /v1/workflows"},
		"no such version":          {engine.StartRequest{Workflow: "shop/order@9.0.0"}, engine.ErrNotFound, "registered are 1.0.0"},
		"not a name":               {engine.StartRequest{Workflow: "order"}, dag.ErrInvalid, "namespace/name@version"},
		"empty version":            {engine.StartRequest{Workflow: "shop/order@"}, dag.ErrInvalid, "namespace/name@version"},
		"unknown profile":          {engine.StartRequest{Workflow: "shop/order", Profiles: []string{"slow"}}, dag.ErrInvalid, "fast"},
		"schema":                   {engine.StartRequest{Workflow: "shop/strict"}, dag.ErrInvalid, "/a"},
		"malformed input":          {engine.StartRequest{Workflow: "shop/order", Input: json.RawMessage(`{"a"`)}, dag.ErrInvalid, "JSON"},
		"long key":                 {engine.StartRequest{Workflow: "shop/order", Key: long}, dag.ErrInvalid, "255"},
		"start_at and delay":       {engine.StartRequest{Workflow: "shop/order", StartAt: time.Unix(1, 0), Delay: time.Second}, dag.ErrInvalid, "exclude"},
		"negative delay":           {engine.StartRequest{Workflow: "shop/order", Delay: -1}, dag.ErrInvalid, "delay"},
		"short timeout":            {engine.StartRequest{Workflow: "shop/order", Timeout: time.Millisecond}, dag.ErrInvalid, "timeout"},
		"long correlation id":      {engine.StartRequest{Workflow: "shop/order", CorrelationID: long}, dag.ErrInvalid, "256"},
		"labels":                   {engine.StartRequest{Workflow: "shop/order", Labels: map[string]string{"a": long}}, dag.ErrInvalid, "256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.register(strict)
			_, err := r.Start(t.Context(), c.req)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Start: %v; want an error that is %q and says %q", err, c.is, c.says)
			}
			r.empty()
		})
	}
}

func TestStartWithoutVersionTakesTheHighestThatIsNoPreRelease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, v := range []string{"1.10.0", "1.9.0", "2.0.0-rc.1"} {
		r.register(linear(v))
	}
	if got := r.start().Version; got != "1.10.0" {
		t.Errorf("started version %s, want 1.10.0", got)
	}
	if started, err := r.Start(t.Context(), engine.StartRequest{Workflow: "shop/order@2.0.0-rc.1"}); err != nil || started.Run.Version != "2.0.0-rc.1" {
		t.Errorf("started %s, %v; want the version that was asked for", started.Run.Version, err)
	}
}

func TestOneKeyIsOneRunWhicheverWayItComesIn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	req := engine.StartRequest{Workflow: "shop/order", Key: "k", Input: json.RawMessage(`{"b": 1.0, "a": 2}`)}
	first, err := r.Start(t.Context(), req)
	if err != nil || first.Replayed {
		t.Fatalf("first start: replayed %t, %v", first.Replayed, err)
	}
	req.Input = json.RawMessage(`{"a":2,"b":1.0}`)
	second, err := r.Start(t.Context(), req)
	if err != nil || !second.Replayed || second.Run.ID != first.Run.ID {
		t.Errorf("same request in other words: run %s, replayed %t, %v; want run %s again", second.Run.ID, second.Replayed, err, first.Run.ID)
	}
	req.Input = json.RawMessage(`{"a":2,"b":1.00}`)
	if _, err := r.Start(t.Context(), req); !errors.Is(err, engine.ErrMismatch) {
		t.Errorf("another number text under the same key: %v, want ErrMismatch", err)
	}
}

// In a start's body null is as good as nothing, so it is when it comes from Go.
func TestInputNullIsNoInput(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first, err := r.Start(t.Context(), engine.StartRequest{Workflow: "shop/order", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Start(t.Context(), engine.StartRequest{Workflow: "shop/order", Key: "k", Input: json.RawMessage(" null\n")})
	if err != nil || second.Run.ID != first.Run.ID || string(second.Run.Input) != "{}" {
		t.Errorf("run %s with input %s, %v; want run %s with {}", second.Run.ID, second.Run.Input, err, first.Run.ID)
	}
}

// The answer to a start got lost, and before it is repeated a release brings a version of the workflow that would not take the request.
func TestReplayOutlivesTheDefinitionThatItWasStartedWith(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	req := engine.StartRequest{Workflow: "shop/order", Key: "k", Input: json.RawMessage(`{"b":1}`), Profiles: []string{"fast"}}
	first, err := r.Start(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	stricter := linear("2.0.0")
	stricter.InputSchema, stricter.Profiles = json.RawMessage(`{"required":["a"]}`), nil
	r.register(stricter)
	r.store.Advance(2 * time.Second)
	again, err := r.Start(t.Context(), req)
	if err != nil || !again.Replayed || again.Run.ID != first.Run.ID {
		t.Errorf("repeated: run %s, replayed %t, %v; want run %s again", again.Run.ID, again.Replayed, err, first.Run.ID)
	}
	for name, change := range map[string]func(*engine.StartRequest){
		"another key":     func(req *engine.StartRequest) { req.Key = "k2" },
		"another request": func(req *engine.StartRequest) { req.Input = json.RawMessage(`{"b":2}`) },
		"no key":          func(req *engine.StartRequest) { req.Key = "" },
	} {
		other := req
		change(&other)
		if _, err := r.Start(t.Context(), other); !errors.Is(err, dag.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestSameVersionWithAnotherDefinitionIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	changed := linear("1.0.0")
	changed.Steps[0].Handler = "shop.other"
	if err := r.Register(t.Context(), changed, ""); !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), "raise the version") {
		t.Errorf("Register: %v, want a conflict that says how to mend it", err)
	}
	if err := r.Register(t.Context(), linear("1.0.0"), ""); err != nil {
		t.Errorf("registering the same again: %v", err)
	}
}

func TestSweeperHandsOverWhatNobodyDid(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.refuse.Store(true)
	r.start() // as if the process had died between create_run and enqueue
	r.refuse.Store(false)
	r.empty() // negative control: without the sweeper nothing comes
	r.pass(2 * time.Second)
	r.complete(r.take("w1"))
}

// hungQueue answers to nothing.
type hungQueue struct{ engine.Queue }

func (hungQueue) Enqueue(ctx context.Context, _ dag.Send) error {
	<-ctx.Done()
	return ctx.Err()
}

// A run of many roots is accepted in good time though the queue hangs. The sweeper hands them over.
func TestHungQueueHoldsNoStartUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		wide := &dag.Workflow{Namespace: "shop", Name: "wide", Version: "1.0.0"}
		for i := range 100 {
			wide.Steps = append(wide.Steps, dag.Step{Name: "s" + strconv.Itoa(i), Handler: "shop.a"})
		}
		r.register(wide)
		e, err := engine.New(r.store, hungQueue{r.queue}, anySchema{}, engine.Config{Now: r.store.Now})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := e.Start(t.Context(), engine.StartRequest{Workflow: "shop/wide"}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("start took %s", took)
		}
		r.pass(2 * time.Second)
		if n := len(r.queue.Delivered()); n != 100 {
			t.Errorf("%d deliveries by the sweeper, want 100", n)
		}
	})
}

func TestRefusedSendIsPushedBackAndTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.refuse.Store(true)
	r.start()
	r.pass(3 * time.Second)
	r.refuse.Store(false)
	r.pass(20 * time.Second)
	r.empty()
	r.pass(15 * time.Second)
	r.take("w1")
}

func TestLostReplyOfCompleteStrandsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run := r.start()
	c := r.take("w1")
	lost := false
	r.faults.Hook = func(method string) enginetest.Fault {
		if method == "Complete" && !lost {
			lost = true
			return enginetest.FaultLost
		}
		return enginetest.FaultNone
	}
	if _, err := r.Complete(t.Context(), c, json.RawMessage(`{}`), 0); !errors.Is(err, engine.ErrUnavailable) {
		t.Fatalf("complete with a lost reply: %v", err)
	}
	if got := r.complete(c).Reply; got != dag.ReplyAlready {
		t.Errorf("repeated complete: %s, want OK_ALREADY", got)
	}
	r.empty() // the answer with the child in it is gone
	r.pass(2 * time.Second)
	if c := r.take("w1"); c.Step != "b" || r.step(run.ID, "a").Attempts != 1 {
		t.Errorf("step %s, a after %d attempts; want b, a once", c.Step, r.step(run.ID, "a").Attempts)
	}
}

func TestDeadlineEndsARun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	started, err := r.Start(t.Context(), engine.StartRequest{Workflow: "shop/order", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c := r.take("w1")
	r.pass(9 * time.Second)
	if got := r.run(started.Run.ID).State; got != dag.RunRunning {
		t.Fatalf("run is %s before its deadline", got)
	}
	r.pass(3 * time.Second)
	if got := r.run(started.Run.ID).State; got != dag.RunFailed {
		t.Errorf("run is %s after its deadline, want failed", got)
	}
	if got := r.complete(c).Reply; got != dag.ReplyFenced {
		t.Errorf("late complete: %s, want FENCED", got)
	}
}

func TestRetryAndItsRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run := r.start()
	c := r.take("w1")
	retry := func(step string) (dag.RunView, error) {
		return r.Retry(t.Context(), engine.OperatorRequest{Run: run.ID, Step: step, Actor: "ann", Reason: "restocked"})
	}
	if _, err := retry(""); !errors.Is(err, engine.ErrConflict) {
		t.Errorf("retry of a run without a failed step: %v, want a conflict", err)
	}
	if _, err := retry("zzz"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("retry of an unknown step: %v, want not found", err)
	}
	if _, err := r.Fail(t.Context(), c, dag.StepError{Code: "NO", Message: "no"}, 0, 0); err != nil {
		t.Fatal(err)
	}
	if got := r.run(run.ID).State; got != dag.RunFailed {
		t.Fatalf("run is %s after a permanent error, want failed", got)
	}
	view, err := retry("")
	if err != nil || view.State != dag.RunRunning {
		t.Fatalf("retry: run is %s, %v; want running", view.State, err)
	}
	for range 3 {
		r.complete(r.take("w2"))
	}
	if got := r.run(run.ID).State; got != dag.RunSucceeded {
		t.Errorf("retried run is %s, want succeeded", got)
	}
	missing := engine.OperatorRequest{Run: dag.NewRunID(1, "01ARZ3NDEKTSV4RRFFQ69G5FAV")}
	if _, err := r.Retry(t.Context(), missing); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("retry of an unknown run: %v, want not found", err)
	}
	if _, err := r.Retry(t.Context(), engine.OperatorRequest{Run: "nonsense"}); !errors.Is(err, dag.ErrInvalid) {
		t.Errorf("retry of no run ID: %v, want invalid", err)
	}
}

func TestStatusNamesWhatNobodyServes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	put := func(w dag.WorkerInfo) {
		w.TTL = engine.DefaultTTL
		if err := r.store.PutWorker(t.Context(), w, false); err != nil {
			t.Fatal(err)
		}
	}
	put(dag.WorkerInfo{ID: "w1", Queues: []string{"shop"}, Handlers: []string{"shop.a", "shop.b"}})
	status, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[engine.Unserved]bool{}
	for _, u := range status.Unserved {
		got[u.Unserved] = true
	}
	want := map[engine.Unserved]bool{{Queue: "shop", Handler: "shop.c"}: true, {Queue: "shop-fast"}: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unserved (-want +got):\n%s", diff)
	}
	missing, err := r.Missing(t.Context(), []string{"shop"}, []string{"shop.a"})
	if diff := cmp.Diff([]string{"shop/shop.b", "shop/shop.c"}, missing); diff != "" || err != nil {
		t.Errorf("missing, %v (-want +got):\n%s", err, diff)
	}
}

func TestStartWarnsOfAQueueWithoutWorkers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	started, err := r.Start(t.Context(), engine.StartRequest{Workflow: "shop/order", Profiles: []string{"fast"}})
	if err != nil || len(started.Warnings) != 1 || !strings.Contains(started.Warnings[0], "shop-fast") {
		t.Errorf("warnings %q, %v; want one about shop-fast", started.Warnings, err)
	}
}

// Starts that come while the workers cannot be listed must not queue up for it, each to wait for its own time-out.
func TestStartsAskForWorkersInVainOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	asked := 0
	r.faults.Hook = func(method string) enginetest.Fault {
		if method != "Workers" {
			return enginetest.FaultNone
		}
		asked++
		return enginetest.FaultRefused
	}
	for range 3 {
		if started, err := r.Start(t.Context(), engine.StartRequest{Workflow: "shop/order"}); err != nil || len(started.Warnings) != 0 {
			t.Errorf("start: %v, %v; want no warnings", started.Warnings, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	r.faults.Hook = nil
	r.store.Advance(5 * time.Second)
	if started, err := r.Start(t.Context(), engine.StartRequest{Workflow: "shop/order"}); err != nil || len(started.Warnings) != 1 {
		t.Errorf("start: %v, %v; want the warning of a queue that nobody serves", started.Warnings, err)
	}
}

func TestLoopsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- r.Run(ctx) }()
	go func() { done <- r.Announce(ctx, time.Hour, func() dag.WorkerInfo { return dag.WorkerInfo{ID: "w9"} }) }()
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	workers, _, err := r.store.Workers(t.Context())
	if err != nil || len(workers) != 1 || workers[0].LeftAt.IsZero() {
		t.Errorf("workers %+v, %v; want w9 signed off", workers, err)
	}
}

// A start answers without a look at Redis; what it says is what a look would have said.
func TestStartTellsTheRunAsItIs(t *testing.T) {
	t.Parallel()
	for name, req := range map[string]engine.StartRequest{
		"at once":   {Workflow: "shop/order", Key: "k", Labels: map[string]string{"a": "b"}, CorrelationID: "c", Timeout: time.Hour},
		"later":     {Workflow: "shop/order", Delay: time.Hour},
		"with more": {Workflow: "shop/order", Profiles: []string{"fast"}, Input: json.RawMessage(`{"a":1}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			started, err := r.Start(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r.run(started.Run.ID), started.Run); diff != "" {
				t.Errorf("answer of the start (-as it is +as it was told):\n%s", diff)
			}
		})
	}
}
