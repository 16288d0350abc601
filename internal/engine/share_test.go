package engine_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// process is an engine with its loops, on the store and the queue that all share. Time is that of the test's bubble.
type process struct {
	faults *enginetest.Faulty
	stop   context.CancelFunc

	mu    sync.Mutex
	swept map[string]bool          // runs whose sends its sweeper handed over
	away  func(method string) bool // which calls do not reach the store
}

// startProcess starts a process; all have to be started before anything is killed.
func (r *rig) startProcess() *process {
	r.t.Helper()
	p := &process{swept: map[string]bool{}, away: func(string) bool { return false }}
	p.faults = &enginetest.Faulty{Store: r.store, Hook: func(method string) enginetest.Fault {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.away(method) {
			return enginetest.FaultRefused
		}
		return enginetest.FaultNone
	}}
	e, err := engine.New(p.faults, r.queue, anySchema{}, engine.Config{Hooks: engine.Hooks{HandedOver: func(send dag.Send, swept bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if swept {
			p.swept[send.Run] = true
		}
	}}})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = e.Run(ctx) // returns nil
	}()
	p.stop = func() {
		cancel()
		<-ended
	}
	r.t.Cleanup(p.stop)
	return p
}

func (p *process) cutOff(away func(method string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

// kill cuts the process off from the store, as a SIGKILL does: it signs nothing off.
func (p *process) kill() { p.cutOff(func(string) bool { return true }) }

func (p *process) sweptRuns() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.swept))
}

// bubble is a rig whose store has the bubble's time.
func bubble(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.store.Follow(time.Now)
	return r
}

func wait(d time.Duration) { <-time.After(d) }

// strand creates runs in many partitions whose first steps nobody hands over but a sweeper.
func (r *rig) strand(n int) {
	r.t.Helper()
	r.refuse.Store(true)
	for i := range n {
		if _, err := r.Start(r.t.Context(), engine.StartRequest{Workflow: "shop/order", Key: strconv.Itoa(i)}); err != nil {
			r.t.Fatal(err)
		}
	}
	r.refuse.Store(false)
}

func TestSweepersShareThePartitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := bubble(t)
		all := []*process{r.startProcess(), r.startProcess(), r.startProcess()}
		wait(5 * time.Second)
		const runs = 320
		r.strand(runs)
		wait(3 * time.Second)
		byRun := map[string]int{}
		for i, p := range all {
			swept, groups := p.sweptRuns(), map[int]bool{}
			for _, id := range swept {
				byRun[id]++
				partition, err := dag.RunPartition(id)
				if err != nil {
					t.Fatal(err)
				}
				groups[partition%engine.SweepGroups] = true
			}
			if len(groups) < 4 || len(groups) > 6 {
				t.Errorf("process %d swept %d groups, want 16 divided by 3", i, len(groups))
			}
		}
		maps.DeleteFunc(byRun, func(_ string, n int) bool { return n != 1 })
		if len(byRun) != runs {
			t.Errorf("%d of %d runs were swept by exactly one process", len(byRun), runs)
		}
	})
}

// A worker is killed with the sweeper in it that would have to see to its own steps. Another has watched these partitions all the time, and takes the steps
// over as soon as their leases end: it need not get to know the partitions first.
func TestKilledSweeperDelaysNoTakeover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := bubble(t)
		worker, other := r.startProcess(), r.startProcess()
		wait(30 * time.Second)
		r.strand(128)
		wait(3 * time.Second)
		if len(worker.sweptRuns()) == 0 || len(other.sweptRuns()) == 0 {
			t.Fatal("one process swept nothing: the test shows nothing")
		}
		r.announce("w1", false)
		var runs []string
		for range 128 {
			runs = append(runs, r.take("w1").Run)
		}
		worker.kill()
		wait(19 * time.Second)
		for _, id := range runs {
			if got := r.step(id, "a"); got.State != dag.StepRunning {
				t.Fatalf("step is %s before its lease ended", got.State)
			}
		}
		wait(3 * time.Second)
		late := 0
		for _, id := range runs {
			if got := r.step(id, "a"); got.State != dag.StepQueued || got.Epoch != 2 || got.Crashes != 1 {
				late++
			}
		}
		if late > 0 {
			t.Errorf("%d of %d steps are not taken over 22 s after their worker was killed", late, len(runs))
		}
	})
}

// A process that ends gives its share back at once; nothing waits for it to run out.
func TestEndedSweeperGivesItsShareBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(*process)
		left bool // something of the share of the one that ended is not handed over 3 s later
	}{
		"ended":  {func(p *process) { p.stop() }, false},
		"killed": {(*process).kill, true}, // negative control
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := bubble(t)
				first, second := r.startProcess(), r.startProcess()
				wait(5*time.Second + 500*time.Millisecond)
				c.end(first)
				r.strand(64)
				wait(3 * time.Second)
				if left := len(second.sweptRuns()) < 64; left != c.left {
					t.Errorf("something was left after 3 s: %t, want %t", left, c.left)
				}
				wait(4 * time.Second)
				if n := len(second.sweptRuns()); n != 64 {
					t.Errorf("%d of 64 runs handed over after 7 s", n)
				}
			})
		})
	}
}

// Where nobody tells the shares, all go on with what they had.
func TestShareHoldsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := bubble(t)
		p := r.startProcess()
		wait(3 * time.Second)
		p.cutOff(func(method string) bool { return method == "Share" })
		wait(time.Minute)
		r.strand(64)
		wait(3 * time.Second)
		if n := len(p.sweptRuns()); n != 64 {
			t.Errorf("%d of 64 runs handed over", n)
		}
	})
}
