package dag

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
