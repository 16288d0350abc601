package dag_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/pkg/dag"
)

func TestRunTransitions(t *testing.T) {
	t.Parallel()
	want := `scheduled: running succeeded failed cancelled
running: paused succeeded failed compensating cancelling cancelled
paused: running succeeded failed cancelling cancelled
succeeded:
failed: running succeeded
compensating: failed compensated
compensated:
cancelling: succeeded cancelled
cancelled:
`
	if diff := cmp.Diff(want, table(dag.AllRunStates(), dag.CanRun)); diff != "" {
		t.Errorf("transitions of runs (-want +got):\n%s", diff)
	}
}

func TestStepTransitions(t *testing.T) {
	t.Parallel()
	want := `pending: queued cancelled
queued: running succeeded failed skipped cancelled
running: queued retrying waiting succeeded failed cancelled
retrying: queued running succeeded failed skipped cancelled
waiting: queued succeeded failed skipped cancelled
succeeded:
failed: queued succeeded skipped
skipped:
cancelled:
`
	if diff := cmp.Diff(want, table(dag.AllStepStates(), dag.CanStep)); diff != "" {
		t.Errorf("transitions of steps (-want +got):\n%s", diff)
	}
}

func table[S ~string](states []S, can func(from, to S) bool) string {
	var b strings.Builder
	for _, from := range states {
		b.WriteString(string(from) + ":")
		for _, to := range states {
			if can(from, to) {
				b.WriteString(" " + string(to))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestStateKinds(t *testing.T) {
	t.Parallel()
	for _, s := range dag.AllRunStates() {
		ended := slices.Contains([]dag.RunState{"succeeded", "failed", "compensated", "cancelled"}, s)
		if !s.Valid() || s.Ended() != ended {
			t.Errorf("run %s: valid %t, ended %t", s, s.Valid(), s.Ended())
		}
	}
	active := []dag.StepState{"queued", "running", "retrying", "waiting"}
	for _, s := range dag.AllStepStates() {
		isActive := slices.Contains(active, s)
		if !s.Valid() || s.Active() != isActive || s.Settled() == (isActive || s == dag.StepPending) {
			t.Errorf("step %s: valid %t, active %t, settled %t", s, s.Valid(), s.Active(), s.Settled())
		}
	}
	if dag.RunState("done").Valid() || dag.StepState("").Valid() || dag.CanRun("done", "running") || dag.CanStep("", "queued") {
		t.Error("an unknown state is valid")
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	want := map[dag.StepState]dag.Outcome{"succeeded": "ok", "skipped": "skip", "failed": "fail"}
	for _, s := range dag.AllStepStates() {
		o, ok := s.Outcome()
		if w, wanted := want[s]; ok != wanted || o != w {
			t.Errorf("%s has outcome %q, %t", s, o, ok)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	cases := []struct {
		join    dag.Join
		tally   dag.Tally
		parents int
		want    dag.Decision
	}{
		{dag.JoinNoneFailed, dag.Tally{}, 0, dag.DecisionRun},
		{dag.JoinNoneFailed, dag.Tally{}, 1, dag.DecisionWait},
		{dag.JoinNoneFailed, dag.Tally{OK: 1}, 2, dag.DecisionWait},
		{dag.JoinNoneFailed, dag.Tally{OK: 2}, 2, dag.DecisionRun},
		{dag.JoinNoneFailed, dag.Tally{OK: 1, Skip: 1}, 2, dag.DecisionRun},
		{dag.JoinNoneFailed, dag.Tally{Skip: 2}, 2, dag.DecisionRun},
		{dag.JoinNoneFailed, dag.Tally{OK: 1, Fail: 1}, 2, dag.DecisionBlocked},
		{dag.JoinNoneFailed, dag.Tally{Fail: 1}, 2, dag.DecisionBlocked},
		{"", dag.Tally{OK: 1}, 1, dag.DecisionRun},
		{"any_succeeded", dag.Tally{OK: 1}, 1, dag.DecisionBlocked},
		{"any_succeeded", dag.Tally{}, 0, dag.DecisionRun},
	}
	for _, c := range cases {
		if got := c.join.Decide(c.tally, c.parents); got != c.want {
			t.Errorf("%q with %+v of %d: got %v, want %v", c.join, c.tally, c.parents, got, c.want)
		}
	}
	back := dag.Tally{}.Add(dag.OutcomeOK, 1).Add(dag.OutcomeFail, 1).Add(dag.OutcomeSkip, 2).Add(dag.OutcomeFail, -1).Add("odd", 1)
	if back != (dag.Tally{OK: 1, Skip: 2}) {
		t.Errorf("tally is %+v", back)
	}
	if dag.Decision(9).String() != "unknown" {
		t.Error("an unknown decision has a name")
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ completed, total, want int }{
		{0, 0, 0}, {0, 5, 0}, {1, 3, 33}, {2, 3, 66}, {3, 3, 100}, {4, 3, 100}, {-1, 3, 0}, {2047, 2048, 99},
	} {
		if p := dag.ProgressOf(c.completed, c.total); p.Percentage != c.want || p.Completed != c.completed || p.Total != c.total {
			t.Errorf("%d of %d: %+v", c.completed, c.total, p)
		}
	}
}
