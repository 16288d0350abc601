package engine_test

import (
	"errors"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// doubt brings the first step of a new run to the second before the first look: its task was accepted, and nothing has been heard of the step since. The
// look at a retrying one comes a minute after its time.
func (r *rig) doubt(state dag.StepState) dag.Send {
	r.t.Helper()
	run := r.start().ID
	send, ok := r.queue.Take()
	if !ok {
		r.t.Fatal("no task")
	}
	if state == dag.StepRetrying {
		begun, err := r.Begin(r.t.Context(), dag.BeginRequest{Delivery: send.Delivery, Def: send.Def, Nonce: "n", Worker: "w1"})
		if err != nil || begun.Verdict != dag.VerdictRun {
			r.t.Fatalf("begin: %s, %v", begun.Verdict, err)
		}
		if _, err := r.Fail(r.t.Context(), &begun.Claim, dag.StepError{Code: "AWAY", Retryable: true}, 10*time.Second, 0); err != nil {
			r.t.Fatal(err)
		}
		r.pass(69 * time.Second)
	} else {
		r.pass(30 * time.Second)
	}
	if got := r.step(run, "a").State; got != state || len(r.seen.looks) > 0 {
		r.t.Fatalf("step is %s after %d looks, want %s after none", got, len(r.seen.looks), state)
	}
	return send
}

type doubtCase struct {
	task   engine.TaskState
	next   time.Duration // from the look until the queue is to deliver it
	failed bool          // it was archived because its step failed
	action engine.Action
}

// put brings the task of a send to where the case has it, a second before the look.
func (c *doubtCase) put(r *rig, send dag.Send) {
	switch c.task {
	case engine.TaskUnanswered:
		r.watch(func() error { return errors.New("away") })
	case engine.TaskNoQueue:
		r.queue.LoseQueue(send.Queue)
	default:
		r.queue.Put(send, engine.TaskInfo{State: c.task, Next: r.store.Now().Add(time.Second + c.next), Verdict: c.failed})
	}
}

// doubtCases is the table of the design, chapter 9, written down a second time: for a queued as for a retrying step. What a task that stays active
// leads to is TestActiveTaskHasThreeMinutes.
func doubtCases() map[string]doubtCase {
	return map[string]doubtCase{
		"pending":                    {task: engine.TaskPending, action: "leave"},
		"scheduled for later":        {task: engine.TaskScheduled, next: time.Hour, action: "leave"},
		"scheduled, a minute late":   {task: engine.TaskScheduled, next: -time.Minute, action: "leave"},
		"scheduled, longer late":     {task: engine.TaskScheduled, next: -time.Minute - time.Second, action: "reissue"},
		"to be retried later":        {task: engine.TaskRetry, next: time.Second, action: "leave"},
		"retry long overdue":         {task: engine.TaskRetry, next: -time.Hour, action: "reissue"},
		"active":                     {task: engine.TaskActive, action: "leave"},
		"archived by a person":       {task: engine.TaskArchived, action: "bury"},
		"archived, then rolled back": {task: engine.TaskArchived, failed: true, action: "reissue"},
		"completed":                  {task: engine.TaskCompleted, action: "reissue"},
		"not found":                  {task: engine.TaskNone, action: "reissue"},
		"zombie":                     {task: engine.TaskZombie, action: "reissue"},
		"queue unknown":              {task: engine.TaskNoQueue, action: "adopt"},
		"no answer":                  {task: engine.TaskUnanswered, action: "leave"},
	}
}

func TestDoubtIsSettledByTheTable(t *testing.T) {
	t.Parallel()
	for _, state := range []dag.StepState{dag.StepQueued, dag.StepRetrying} {
		for name, c := range doubtCases() {
			t.Run(string(state)+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				send := r.doubt(state)
				before := r.step(send.Run, "a")
				c.put(r, send)
				r.pass(time.Second)
				if d := cmp.Diff([]verdict{{state, c.task, c.action}}, r.seen.verdicts); d != "" {
					t.Fatalf("looks (-want +got):\n%s", d)
				}
				r.wantAction(send.Run, &before, c.action)
			})
		}
	}
}

// wantAction checks what an action made of the step a.
func (r *rig) wantAction(run string, before *dag.StepView, action engine.Action) {
	r.t.Helper()
	after := r.step(run, "a")
	var adopted []string
	switch action {
	case engine.ActionReissue:
		if after.State != dag.StepQueued || after.Epoch != before.Epoch+1 {
			r.t.Errorf("step is %s at epoch %d, want queued at %d", after.State, after.Epoch, before.Epoch+1)
		}
		r.queue.Done(dag.Delivery{Run: run, Step: "a", Epoch: before.Epoch})
		r.complete(r.take("w2"))
	case engine.ActionBury:
		const message = "its task was archived in the queue's dashboard before the step was done; retry the step to run it"
		want := &dag.StepError{Code: "ARCHIVED", Message: message}
		if d := cmp.Diff(want, after.Error); after.State != dag.StepFailed || d != "" {
			r.t.Errorf("step is %s with (-want +got):\n%s", after.State, d)
		}
		if d := cmp.Diff([]dag.RunState{dag.RunFailed}, r.seen.ended); d != "" {
			r.t.Errorf("runs ended (-want +got):\n%s", d)
		}
		page, err := r.store.DeadLetters(r.t.Context(), dag.DeadLetterQuery{Limit: 2})
		if err != nil || len(page.Letters) != 1 {
			r.t.Errorf("dead letters %v, %v; want one", page.Letters, err)
		}
	case engine.ActionAdopt, engine.ActionLeave:
		if action == engine.ActionAdopt {
			adopted = []string{"shop"}
		}
		if d := cmp.Diff(before, &after); d != "" {
			r.t.Errorf("step changed (-before +after):\n%s", d)
		}
	}
	if d := cmp.Diff(adopted, r.queue.Adopted()); d != "" {
		r.t.Errorf("queues made known (-want +got):\n%s", d)
	}
}

// Each ruling has a case above.
func TestEveryRulingIsTried(t *testing.T) {
	t.Parallel()
	tried := map[verdict]bool{}
	for _, state := range []dag.StepState{dag.StepQueued, dag.StepRetrying} {
		for _, c := range doubtCases() {
			tried[verdict{state, c.task, c.action}] = true
		}
		tried[verdict{state, engine.TaskActive, engine.ActionReissue}] = true // TestActiveTaskHasThreeMinutes
	}
	ruled := map[verdict]bool{}
	for _, r := range engine.Rulings() {
		ruled[verdict{r.Step, r.Task, r.Then}] = true
		if r.When != engine.Always {
			ruled[verdict{r.Step, r.Task, r.Else}] = true
		}
	}
	if d := cmp.Diff(ruled, tried); d != "" {
		t.Errorf("rulings without a case, cases without a ruling (-rulings +cases):\n%s", d)
	}
}

func TestActiveTaskHasThreeMinutes(t *testing.T) {
	t.Parallel()
	active, pending := engine.TaskInfo{State: engine.TaskActive}, engine.TaskInfo{State: engine.TaskPending}
	for _, state := range []dag.StepState{dag.StepQueued, dag.StepRetrying} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			send := r.doubt(state)
			epoch := r.step(send.Run, "a").Epoch
			r.queue.Put(send, active)
			r.pass(3 * time.Minute)
			if got := r.step(send.Run, "a"); got.Epoch != epoch {
				t.Fatal("issued again less than three minutes after its task was first seen active")
			}
			r.pass(2 * time.Minute)
			if got := r.step(send.Run, "a"); got.State != dag.StepQueued || got.Epoch != epoch+1 {
				t.Errorf("step is %s at epoch %d, want queued at %d", got.State, got.Epoch, epoch+1)
			}
		})
	}
	for name, c := range map[string]struct {
		meanwhile func(*rig, dag.Send)
		forgotten bool
	}{
		"seen pending meanwhile": {func(r *rig, send dag.Send) { r.queue.Put(send, pending) }, true},
		"no answer meanwhile":    {func(r *rig, _ dag.Send) { r.watch(func() error { return errors.New("away") }) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			send := r.doubt(dag.StepQueued)
			r.queue.Put(send, active)
			r.pass(time.Minute) // looks 31 s and 62 s after the start
			c.meanwhile(r, send)
			r.pass(time.Minute) // 124 s
			r.watch(answer)
			r.queue.Put(send, active)
			r.pass(2 * time.Minute) // 244 s
			if got := len(r.seen.looks); got != 4 {
				t.Fatalf("%d looks, want 4", got)
			}
			if forgotten := r.step(send.Run, "a").Epoch == 1; forgotten != c.forgotten {
				t.Errorf("the first look is forgotten: %t, want %t", forgotten, c.forgotten)
			}
		})
	}
}

// A step that waits for long in a long queue costs less and less looks.
func TestLooksAtAHealthyStepBackOff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	began := r.store.Now()
	r.start()
	r.pass(10*time.Minute + 30*time.Second)
	var at []int
	for _, l := range r.seen.looks {
		at = append(at, int(l.at.Sub(began)/time.Second))
	}
	if d := cmp.Diff([]int{31, 62, 124, 244, 364, 484, 604}, at); d != "" {
		t.Errorf("looks, in seconds from the start (-want +got):\n%s", d)
	}
}

// crowd starts runs, as many in each partition as chance has it, and returns when all their tasks have been accepted.
func (r *rig) crowd(n int) {
	r.t.Helper()
	for i := range n {
		if _, err := r.Start(r.t.Context(), engine.StartRequest{Workflow: "shop/order", Key: strconv.Itoa(i)}); err != nil {
			r.t.Fatal(err)
		}
	}
	for range n/100 + 1 { // at most a hundred a partition and round are reported as handed over
		r.pass(time.Second)
	}
}

// Every task of many runs is gone. All are sent again soon, and the queue is not flooded with questions.
func TestWipedQueueIsRefilledWithinTheBudget(t *testing.T) {
	t.Parallel()
	const runs = 800
	r := newRig(t)
	r.crowd(runs)
	r.pass(10 * time.Second)
	r.queue.Lose()
	for round := range 30 {
		before := len(r.seen.looks)
		r.pass(time.Second)
		if looks := len(r.seen.looks) - before; looks > 500 {
			t.Errorf("%d looks in round %d, at most 500 are allowed", looks, round)
		}
	}
	again := map[string]int{}
	for _, s := range r.queue.Delivered() {
		if s.Epoch > 1 {
			again[s.Run]++
		}
	}
	maps.DeleteFunc(again, func(_ string, n int) bool { return n != 1 })
	if len(again) != runs {
		t.Errorf("%d of %d runs have exactly one new task", len(again), runs)
	}
}

// One partition has far more doubts than a round can look at. Those of the others are looked at all the same.
func TestNoPartitionStarvesForLooks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 600 {
		r.start() // all in partition 0
	}
	r.random = 0.5
	other := r.start()
	r.pass(10 * time.Second)
	r.store.Advance(time.Minute) // now they are all due at once
	r.sweep(t.Context())
	met, looks := false, r.seen.looks
	for _, l := range looks {
		met = met || l.Run == other.ID
	}
	if !met || len(looks) > 500 || len(looks) < 100 {
		t.Errorf("looked at the only doubt of another partition: %t, after %d looks in the round", met, len(looks))
	}
}

// What cannot be done about a step now does not stand in the way of others: it is put off.
func TestFailedLookIsPutOff(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Reissue", "Bury"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			send := r.doubt(dag.StepQueued)
			r.faults.Hook = func(m string) enginetest.Fault {
				if m == method {
					return enginetest.FaultRefused
				}
				return enginetest.FaultNone
			}
			task := engine.TaskInfo{State: engine.TaskNone}
			if method == "Bury" {
				task.State = engine.TaskArchived
			}
			r.queue.Put(send, task)
			r.pass(25 * time.Second)
			if got := len(r.seen.looks); got != 1 {
				t.Errorf("%d looks within 25 s, want one", got)
			}
			r.faults.Hook = nil
			r.pass(20 * time.Second)
			if got := r.step(send.Run, "a"); got.State == dag.StepQueued && got.Epoch == 1 {
				t.Errorf("step is %s at epoch %d as before, 20 s after all was well", got.State, got.Epoch)
			}
		})
	}
}
