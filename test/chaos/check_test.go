package chaos_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/test/chaos"
)

const (
	runA = "run_00_01JZ0000000000000000000000"
	runB = "run_00_01JZ0000010000000000000000"
)

// good is the evidence of two orders: one that went well, one whose payment was declined.
func good(t *testing.T) *chaos.Evidence {
	t.Helper()
	at, err := chaos.CreatedAt(runA)
	if err != nil {
		t.Fatal(err)
	}
	ms := func(n int) time.Time { return at.Add(time.Duration(n) * time.Millisecond) }
	return &chaos.Evidence{
		Parents: map[string][]string{"pay": {"cart"}, "ship": {"pay"}},
		Makers:  []string{"pay", "ship"},
		Orders: []chaos.Order{
			{Key: "a", Run: runA, Want: chaos.Want{State: dag.RunSucceeded}, Created: at, Accepted: ms(10)},
			{Key: "b", Run: runB, Want: chaos.Want{State: dag.RunFailed, Step: "pay", Code: "DECLINED"}, Created: at, Accepted: ms(10)},
		},
		Runs: map[string]chaos.Run{
			runA: {
				ID: runA, State: dag.RunSucceeded,
				Steps: []chaos.Step{{Name: "cart", State: dag.StepSucceeded}, {Name: "pay", State: dag.StepSucceeded}, {Name: "ship", State: dag.StepSucceeded}},
				Log: []chaos.Event{
					{Name: "begun", Step: "cart", At: ms(1)},
					{Name: "crashed", Step: "cart", Worker: 7, At: ms(2)},
					{Name: "begun", Step: "cart", At: ms(3)},
					{Name: "succeeded", Step: "cart", At: ms(20)},
					{Name: "begun", Step: "pay", At: ms(21)},
					{Name: "succeeded", Step: "pay", At: ms(30)},
					{Name: "begun", Step: "ship", At: ms(31)},
					{Name: "succeeded", Step: "ship", At: ms(40)},
				},
			},
			runB: {
				ID: runB, State: dag.RunFailed,
				Steps: []chaos.Step{{Name: "cart", State: dag.StepSucceeded}, {Name: "pay", State: dag.StepFailed, Code: "DECLINED"}, {Name: "ship", State: dag.StepPending}},
				Log:   []chaos.Event{{Name: "begun", Step: "cart"}, {Name: "succeeded", Step: "cart"}, {Name: "begun", Step: "pay"}, {Name: "failed", Step: "pay"}},
			},
		},
		Letters: []chaos.Letter{{Run: runB, Step: "pay"}},
		Effects: []chaos.Effect{{Run: runA, Step: "pay", ID: "ch_1", At: ms(25)}, {Run: runA, Step: "ship", ID: "s_1"}, {Run: runA, Step: "ship", ID: "s_1"}},
		Died:    []int{7},
	}
}

func TestGoodEvidence(t *testing.T) {
	t.Parallel()
	want := chaos.Report{Accepted: 2, Succeeded: 1, Failed: 1, Crashes: 1, Resent: 1}
	if diff := cmp.Diff(want, chaos.Check(good(t))); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// change changes a run in the evidence.
func change(e *chaos.Evidence, id string, f func(*chaos.Run)) {
	run := e.Runs[id]
	f(&run)
	e.Runs[id] = run
}

func TestViolations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		do   func(e *chaos.Evidence)
		want chaos.Rule
	}{
		{"a run is gone", func(e *chaos.Evidence) { delete(e.Runs, runB); e.Letters = nil }, chaos.Lost},
		{"a run is gone, long before the kill", func(e *chaos.Evidence) {
			delete(e.Runs, runB)
			e.Letters, e.MayLose, e.Kills = nil, time.Second, []time.Time{e.Orders[1].Accepted.Add(1001 * time.Millisecond)}
		}, chaos.Lost},
		{"a run is gone, created after the kill", func(e *chaos.Evidence) {
			delete(e.Runs, runB)
			e.Letters, e.MayLose, e.Kills = nil, time.Second, []time.Time{e.Orders[1].Created.Add(-time.Millisecond)}
		}, chaos.Lost},
		{"an effect is missing", func(e *chaos.Evidence) { e.Effects = e.Effects[:1] }, chaos.Lost},
		{"charged twice", func(e *chaos.Evidence) {
			e.Effects = append(e.Effects, chaos.Effect{Run: runA, Step: "pay", ID: "ch_2"})
		}, chaos.Double},
		{"committed twice", func(e *chaos.Evidence) {
			change(e, runA, func(r *chaos.Run) { r.Log = append(r.Log, chaos.Event{Name: "succeeded", Step: "ship"}) })
		}, chaos.Double},
		{"not ended", func(e *chaos.Evidence) { change(e, runA, func(r *chaos.Run) { r.State = dag.RunRunning }) }, chaos.Stuck},
		{"begun before its parent succeeded", func(e *chaos.Evidence) {
			change(e, runA, func(r *chaos.Run) { r.Log = slices.Delete(slices.Clone(r.Log), 3, 4) })
		}, chaos.Early},
		{"charged before the cart was validated", func(e *chaos.Evidence) { e.Effects[0].At = e.Orders[0].Created }, chaos.Early},
		{"shipped and not paid", func(e *chaos.Evidence) { e.Effects = e.Effects[1:] }, chaos.Early},
		{"failed instead of succeeded", func(e *chaos.Evidence) {
			change(e, runA, func(r *chaos.Run) { r.State = dag.RunFailed })
		}, chaos.Unexpected},
		{"failed for another reason", func(e *chaos.Evidence) {
			change(e, runB, func(r *chaos.Run) { r.Steps[1].Code = "TIMEOUT" })
		}, chaos.Unexpected},
		{"poisoned without three crashes", func(e *chaos.Evidence) {
			change(e, runB, func(r *chaos.Run) { r.Steps[1].Code = "POISON" })
		}, chaos.Unexpected},
		{"declined and charged", func(e *chaos.Evidence) {
			e.Effects = append(e.Effects, chaos.Effect{Run: runB, Step: "pay", ID: "ch_3"})
		}, chaos.Unexpected},
		{"failed and no dead letter", func(e *chaos.Evidence) { e.Letters = nil }, chaos.DeadLetter},
		{"a dead letter of a step that succeeded", func(e *chaos.Evidence) {
			e.Letters = append(e.Letters, chaos.Letter{Run: runA, Step: "pay"})
		}, chaos.DeadLetter},
		{"a dead letter of nobody's run", func(e *chaos.Evidence) {
			e.Letters = append(e.Letters, chaos.Letter{Run: "run_00_01JZ0000020000000000000000", Step: "pay"})
		}, chaos.Stranger},
		{"a crash of a process that lived", func(e *chaos.Evidence) { e.Died = nil }, chaos.FalseCrash},
		{"an effect of nobody's run", func(e *chaos.Evidence) {
			e.Effects = append(e.Effects, chaos.Effect{Run: "run_00_01JZ0000020000000000000000", Step: "pay", ID: "ch_4"})
		}, chaos.Stranger},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := good(t)
			tt.do(e)
			found := chaos.Check(e).Violations
			if !slices.ContainsFunc(found, func(v chaos.Violation) bool { return v.Rule == tt.want }) {
				t.Errorf("found %v, want %s", found, tt.want)
			}
		})
	}
}

func TestWhatIsAllowed(t *testing.T) {
	t.Parallel()
	t.Run("lost with the last second", func(t *testing.T) {
		t.Parallel()
		e := good(t)
		e.MayLose, e.Kills = time.Second, []time.Time{e.Orders[0].Accepted.Add(900 * time.Millisecond)}
		delete(e.Runs, runA)
		e.Effects = append(e.Effects, chaos.Effect{Run: runB[:len(runB)-1] + "1", Step: "pay", ID: "ch_5"})
		r := chaos.Check(e)
		if len(r.Violations) != 0 || r.Rolled != 1 || r.Unheard != 1 {
			t.Errorf("rolled %d, unheard %d, violations %v; want 1, 1 and none", r.Rolled, r.Unheard, r.Violations)
		}
	})
	t.Run("three dead processes", func(t *testing.T) {
		t.Parallel()
		e := good(t)
		change(e, runB, func(r *chaos.Run) {
			r.Steps[1].Code = "POISON"
			crash := chaos.Event{Name: "crashed", Step: "pay", Worker: 7}
			r.Log = append(r.Log, crash, crash, crash)
		})
		r := chaos.Check(e)
		if len(r.Violations) != 0 || r.Poisoned != 1 {
			t.Errorf("poisoned %d, violations %v; want 1 and none", r.Poisoned, r.Violations)
		}
	})
}
