package dag

import "slices"

// RunState is where a run stands.
type RunState string

// The states of a run. Compensating and compensated belong to undo steps.
const (
	RunScheduled    RunState = "scheduled" // waits for its start_at, or for its first step to begin
	RunRunning      RunState = "running"
	RunPaused       RunState = "paused"
	RunSucceeded    RunState = "succeeded"
	RunFailed       RunState = "failed"
	RunCompensating RunState = "compensating"
	RunCompensated  RunState = "compensated"
	RunCancelling   RunState = "cancelling"
	RunCancelled    RunState = "cancelled"
)

// StepState is where a step of a run stands.
type StepState string

// The states of a StepRun.
const (
	StepPending   StepState = "pending"  // waits for its parents
	StepQueued    StepState = "queued"   // to be delivered to a worker, or delivered and not yet begun
	StepRunning   StepState = "running"  // claimed by a worker
	StepRetrying  StepState = "retrying" // failed, and due again later
	StepWaiting   StepState = "waiting"  // for a signal or a child run
	StepSucceeded StepState = "succeeded"
	StepFailed    StepState = "failed"
	StepSkipped   StepState = "skipped"
	StepCancelled StepState = "cancelled"
)

// AllRunStates returns every state of a run in the order of its life.
func AllRunStates() []RunState {
	return []RunState{
		RunScheduled, RunRunning, RunPaused, RunSucceeded, RunFailed,
		RunCompensating, RunCompensated, RunCancelling, RunCancelled,
	}
}

// AllStepStates returns every state of a step in the order of its life.
func AllStepStates() []StepState {
	return []StepState{
		StepPending, StepQueued, StepRunning, StepRetrying, StepWaiting,
		StepSucceeded, StepFailed, StepSkipped, StepCancelled,
	}
}

// Valid tells whether s is one of [AllRunStates].
func (s RunState) Valid() bool { return slices.Contains(AllRunStates(), s) }

// Ended tells whether nothing more happens in the run by itself: succeeded, failed, compensated, cancelled. An operator may open
// a failed run again.
func (s RunState) Ended() bool {
	return s == RunSucceeded || s == RunFailed || s == RunCompensated || s == RunCancelled
}

// Valid tells whether s is one of [AllStepStates].
func (s StepState) Valid() bool { return slices.Contains(AllStepStates(), s) }

// Active tells whether the step keeps its run open: queued, running, retrying, waiting. A run whose last active step settles ends.
func (s StepState) Active() bool {
	return s == StepQueued || s == StepRunning || s == StepRetrying || s == StepWaiting
}

// Settled tells whether the step is over: succeeded, failed, skipped, cancelled. An operator may open a failed step again.
func (s StepState) Settled() bool {
	return s == StepSucceeded || s == StepFailed || s == StepSkipped || s == StepCancelled
}

// CanRun tells whether a run may go from one state to the other in a single change, operators' verbs included. To stay is no
// change: CanRun(s, s) is false.
func CanRun(from, to RunState) bool { return slices.Contains(nextOfRun(from), to) }

func nextOfRun(from RunState) []RunState {
	switch from {
	case RunScheduled: // skip and resolve can end a run that never began
		return []RunState{RunRunning, RunSucceeded, RunFailed, RunCancelled}
	case RunRunning:
		return []RunState{RunPaused, RunSucceeded, RunFailed, RunCompensating, RunCancelling, RunCancelled}
	case RunPaused: // its running steps go on, and may be the last
		return []RunState{RunRunning, RunSucceeded, RunFailed, RunCancelling, RunCancelled}
	case RunFailed: // retry opens it; skip and resolve of the one failed step may leave nothing to do
		return []RunState{RunRunning, RunSucceeded}
	case RunCompensating:
		return []RunState{RunCompensated, RunFailed}
	case RunCancelling: // the step that ran may have been the last and succeed
		return []RunState{RunCancelled, RunSucceeded}
	case RunSucceeded, RunCompensated, RunCancelled:
	}
	return nil
}

// CanStep tells whether a step may go from one state to the other in a single change, operators' verbs included. To stay is no
// change, not even with a new epoch: CanStep(s, s) is false.
func CanStep(from, to StepState) bool { return slices.Contains(nextOfStep(from), to) }

func nextOfStep(from StepState) []StepState {
	switch from {
	case StepPending:
		return []StepState{StepQueued, StepCancelled}
	case StepQueued: // bury and expire fail it, resolve lets it succeed
		return []StepState{StepRunning, StepSucceeded, StepFailed, StepSkipped, StepCancelled}
	case StepRetrying: // as above; reissue and retry queue it
		return []StepState{StepQueued, StepRunning, StepSucceeded, StepFailed, StepSkipped, StepCancelled}
	case StepRunning: // queued by release and reissue, cancelled when its run is cancelling
		return []StepState{StepQueued, StepRetrying, StepWaiting, StepSucceeded, StepFailed, StepCancelled}
	case StepWaiting:
		return []StepState{StepQueued, StepSucceeded, StepFailed, StepSkipped, StepCancelled}
	case StepFailed: // retry, resolve, skip
		return []StepState{StepQueued, StepSucceeded, StepSkipped}
	case StepSucceeded, StepSkipped, StepCancelled:
	}
	return nil
}
