package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// ready lets the sweeper reach every partition for as long as it needs before it may declare a claim dead.
func (r *rig) ready() { r.pass(engine.DefaultTTL + time.Second) }

func (r *rig) announce(id string, left bool) {
	r.t.Helper()
	if err := r.store.PutWorker(r.t.Context(), dag.WorkerInfo{ID: id, TTL: engine.DefaultTTL}, left); err != nil {
		r.t.Fatal(err)
	}
}

func TestSilentWorkerIsTakenOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile func(r *rig, c *dag.Claim)
		crashes   int
	}{
		"dead": {func(*rig, *dag.Claim) {}, 1},
		"dead right after an announcement": {func(r *rig, _ *dag.Claim) {
			r.store.Advance(4 * time.Second) // the claim was not renewed since
			r.announce("w1", false)
			r.store.Advance(-4 * time.Second)
		}, 1},
		"signed off": {func(r *rig, _ *dag.Claim) { r.announce("w1", true) }, 0},
		"leaving": {func(r *rig, c *dag.Claim) {
			if _, err := r.Heartbeat(r.t.Context(), c.ClaimRef, true); err != nil {
				r.t.Fatal(err)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.ready()
			r.announce("w1", false)
			run := r.start()
			claim := r.take("w1")
			c.meanwhile(r, claim)
			r.pass(19 * time.Second)
			r.empty() // its lease still holds
			r.pass(3 * time.Second)
			next := r.take("w2")
			if next.Attempts != 2 || next.Crashes != c.crashes {
				t.Errorf("taken over as attempt %d after %d crashes, want 2 after %d", next.Attempts, next.Crashes, c.crashes)
			}
			if got := r.complete(claim).Reply; got != dag.ReplyFenced {
				t.Errorf("the old worker's complete: %s, want FENCED", got)
			}
			if got := r.complete(next).Reply; got != dag.ReplyOK {
				t.Errorf("the new worker's complete: %s, want OK", got)
			}
			if got := r.step(run.ID, "a").State; got != dag.StepSucceeded {
				t.Errorf("step is %s, want succeeded", got)
			}
		})
	}
}

func TestTakeOverFromAWorkerThatLivesIsNoCrash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ready()
	r.start()
	r.take("w1")
	for range 22 {
		r.announce("w1", false)
		r.pass(time.Second)
	}
	if next := r.take("w2"); next.Crashes != 0 {
		t.Errorf("%d crashes, want none: the worker's process is alive", next.Crashes)
	}
}

// Processes may be set up with another TTL than the worker that they judge: an API knows nothing of worker.ttl.
func TestWorkerIsJudgedByItsOwnTTL(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ttl, lastSeen time.Duration // after the claim's last renewal
		crashes       int
	}{
		"dead, short TTL":  {6 * time.Second, time.Second, 1},
		"alive, short TTL": {6 * time.Second, 5 * time.Second, 0},
		"dead, long TTL":   {time.Minute, 15 * time.Second, 1},
		"alive, long TTL":  {time.Minute, 45 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.pass(time.Minute)
			r.start()
			worker, err := engine.New(r.store, r.queue, anySchema{}, engine.Config{TTL: c.ttl, Now: r.store.Now})
			if err != nil {
				t.Fatal(err)
			}
			send, _ := r.queue.Take()
			begun, err := worker.Begin(t.Context(), dag.BeginRequest{Delivery: send.Delivery, Def: send.Def, Nonce: "n", Worker: "w1"})
			if err != nil || begun.Verdict != dag.VerdictRun {
				t.Fatalf("begin: %s, %v", begun.Verdict, err)
			}
			r.pass(c.lastSeen)
			if err := r.store.PutWorker(t.Context(), dag.WorkerInfo{ID: "w1", TTL: c.ttl}, false); err != nil {
				t.Fatal(err)
			}
			r.pass(c.ttl - c.lastSeen + time.Second)
			if next := r.take("w2"); next.Crashes != c.crashes {
				t.Errorf("%d crashes, want %d", next.Crashes, c.crashes)
			}
		})
	}
}

func TestThreeCrashesArePoison(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ready()
	run := r.start()
	for crash := range dag.MaxCrashes {
		send, ok := r.queue.Take()
		if !ok {
			t.Fatalf("no task after crash %d", crash)
		}
		begun, err := r.Begin(t.Context(), dag.BeginRequest{Delivery: send.Delivery, Def: send.Def, Nonce: send.TaskID(), Worker: "w", Alone: true})
		if err != nil || begun.Verdict != dag.VerdictRun {
			t.Fatalf("begin: %s, %v", begun.Verdict, err)
		}
		r.pass(23 * time.Second)
	}
	step := r.step(run.ID, "a")
	if step.State != dag.StepFailed || step.Error == nil || step.Error.Code != dag.CodePoison {
		t.Errorf("step is %s with %+v, want failed with POISON", step.State, step.Error)
	}
	page, err := r.store.DeadLetters(t.Context(), dag.DeadLetterQuery{Limit: 10})
	if err != nil || len(page.Letters) != 1 {
		t.Errorf("dead letters %+v, %v; want the poisonous step", page.Letters, err)
	}
}

// An absence of Redis stops every worker's heartbeats. None of them died.
func TestAbsenceOfRedisIsNoCrash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ready()
	r.start()
	claim := r.take("w1")
	away := func(string) enginetest.Fault { return enginetest.FaultRefused }
	r.faults.Hook = away
	r.pass(40 * time.Second)
	r.faults.Hook = nil
	r.pass(10 * time.Second)
	r.empty() // the sweeper gives live workers one TTL to come back
	if got := r.complete(claim).Reply; got != dag.ReplyOK {
		t.Errorf("complete of the step that outlasted the absence: %s, want OK", got)
	}
	other := r.take("w1")
	r.faults.Hook = away
	r.pass(40 * time.Second)
	r.faults.Hook = nil
	r.pass(30 * time.Second)
	next := r.take("w2") // w1 did not come back
	if next.Step != other.Step || next.Crashes != 0 {
		t.Errorf("step %s after %d crashes, want %s after none", next.Step, next.Crashes, other.Step)
	}
}

// Negative control of the one above: with no absence the same silence is a crash at once.
func TestSilenceWithoutAbsenceIsACrash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ready()
	r.start()
	r.take("w1")
	r.pass(30 * time.Second)
	if next := r.take("w2"); next.Crashes != 1 {
		t.Errorf("%d crashes, want 1", next.Crashes)
	}
}

// A clock of Redis that jumps ahead makes every lease look old.
func TestJumpOfTheClockOfRedisTakesNothingOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	local := r.store.Now()
	e, err := engine.New(r.store, r.queue, anySchema{}, engine.Config{Now: func() time.Time { return local }})
	if err != nil {
		t.Fatal(err)
	}
	sweep := e.Sweep()
	tick := func(redis time.Duration) {
		local = local.Add(time.Second)
		r.store.Advance(redis)
		sweep(t.Context())
	}
	for range 25 {
		tick(time.Second)
	}
	run := r.start()
	r.take("w1")
	tick(time.Hour)
	for range 15 {
		tick(time.Second)
	}
	if got := r.step(run.ID, "a").State; got != dag.StepRunning {
		t.Errorf("step is %s after a jump of the clock, want running", got)
	}
	for range 10 {
		tick(time.Second)
	}
	if got := r.step(run.ID, "a").State; got != dag.StepQueued {
		t.Errorf("step is %s a TTL after the jump, want queued again", got)
	}
}

// A sweeper that has just started knows nothing of what was before.
func TestFreshSweeperWaitsATTL(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run := r.start()
	r.take("w1")
	r.store.Advance(time.Minute)
	r.pass(15 * time.Second)
	if got := r.step(run.ID, "a").State; got != dag.StepRunning {
		t.Errorf("step is %s, want running", got)
	}
	r.pass(10 * time.Second)
	if got := r.step(run.ID, "a").State; got != dag.StepQueued {
		t.Errorf("step is %s, want queued again", got)
	}
}

// A round over all partitions takes its time while Redis is away, and those that come late in it may find Redis back: they saw no error. The
// negative control is TestSilenceWithoutAbsenceIsACrash.
func TestAbsenceThatAPartitionDidNotSeeIsNoCrash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ready()
	run := r.start()
	r.take("w1")
	r.faults.Hook = func(method string) enginetest.Fault {
		if method == "Waiting" {
			r.store.Advance(25 * time.Second)
			return enginetest.FaultRefused
		}
		return enginetest.FaultNone
	}
	r.sweep(t.Context())
	r.faults.Hook = nil
	r.pass(15 * time.Second)
	if got := r.step(run.ID, "a").State; got != dag.StepRunning {
		t.Fatalf("step is %s less than a TTL after the absence, want running", got)
	}
	r.pass(10 * time.Second)
	if next := r.take("w2"); next.Crashes != 0 {
		t.Errorf("%d crashes, want none", next.Crashes)
	}
}

// skewed is a cluster whose masters' clocks differ: those of other partitions are ahead.
type skewed struct {
	engine.Store
	partition int
}

func (s skewed) Waiting(ctx context.Context) (partitions []int, clocks []time.Time, err error) {
	partitions, clocks, err = s.Store.Waiting(ctx)
	for p := range clocks {
		if p != s.partition {
			clocks[p] = clocks[p].Add(300 * time.Millisecond)
		}
	}
	return partitions, clocks, err
}

// The masters of a cluster do not agree on the time to the millisecond. That is no jump of a clock.
func TestMastersWithOtherClocks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run := r.start()
	partition, err := dag.RunPartition(run.ID)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(skewed{Store: r.store, partition: partition}, r.queue, anySchema{}, engine.Config{Now: r.store.Now})
	if err != nil {
		t.Fatal(err)
	}
	r.sweep = e.Sweep()
	r.ready()
	r.take("w1")
	r.pass(25 * time.Second)
	if next := r.take("w2"); next.Crashes != 1 {
		t.Errorf("%d crashes, want 1", next.Crashes)
	}
}
