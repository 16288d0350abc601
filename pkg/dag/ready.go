package dag

// Outcome is what a settled parent tells its children.
type Outcome string

// The outcomes. A cancelled step has none: in its run nothing is queued any more.
const (
	OutcomeOK   Outcome = "ok"   // succeeded
	OutcomeSkip Outcome = "skip" // skipped: counts as done, without output
	OutcomeFail Outcome = "fail" // failed for good
)

// Outcome returns what a step in this state has told its children; ok is false when it has told them nothing.
func (s StepState) Outcome() (o Outcome, ok bool) {
	switch s {
	case StepSucceeded:
		return OutcomeOK, true
	case StepSkipped:
		return OutcomeSkip, true
	case StepFailed:
		return OutcomeFail, true
	case StepPending, StepQueued, StepRunning, StepRetrying, StepWaiting, StepCancelled:
	}
	return "", false
}

// Tally counts the settled parents of a step by outcome.
type Tally struct{ OK, Skip, Fail int }

// Add returns the tally with n more of an outcome; n is -1 when an operator's retry takes one back.
func (t Tally) Add(o Outcome, n int) Tally {
	switch o {
	case OutcomeOK:
		t.OK += n
	case OutcomeSkip:
		t.Skip += n
	case OutcomeFail:
		t.Fail += n
	}
	return t
}

// Decision is what becomes of a pending step.
type Decision int

// The decisions.
const (
	DecisionWait    Decision = iota // a parent is not settled yet
	DecisionRun                     // to be queued now
	DecisionBlocked                 // stays pending; it can run only if an operator takes a parent's failure back
)

func (d Decision) String() string {
	switch d {
	case DecisionWait:
		return "wait"
	case DecisionRun:
		return "run"
	case DecisionBlocked:
		return "blocked"
	}
	return "unknown"
}

// Decide says what becomes of a pending step with that many parents. A step without parents runs. The empty rule is
// [JoinNoneFailed]; under a rule that this release does not know no step with parents ever runs.
func (j Join) Decide(t Tally, parents int) Decision {
	switch {
	case parents == 0:
		return DecisionRun
	case t.Fail > 0 || !j.known():
		return DecisionBlocked
	case t.OK+t.Skip >= parents:
		return DecisionRun
	}
	return DecisionWait
}

func (j Join) known() bool { return j == "" || j == JoinNoneFailed }

// ProgressOf counts completed steps against all steps of a run. Percentage is rounded down, so that 100 means all.
func ProgressOf(completed, total int) Progress {
	p := Progress{Completed: completed, Total: total}
	if total > 0 {
		p.Percentage = min(max(completed, 0), total) * 100 / total
	}
	return p
}
