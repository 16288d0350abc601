package engine

import (
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Hooks observe what an engine does; they must return quickly and may be called from many goroutines. Nil funcs are off. [TeeHooks] joins several.
type Hooks struct {
	// RunStarted is called once for each run that this process created.
	RunStarted func(workflow string)
	// RunEnded is called when this process's call ended a run.
	RunEnded func(workflow string, state dag.RunState)
	// StepSettled is called for the outcome of each attempt that this process committed, with the time from its begin.
	StepSettled func(claim *dag.Claim, state dag.StepState, took time.Duration)
	// StepTaken is called for each step that this process took over from a silent worker.
	StepTaken func(claim dag.DeadClaim, crash bool)
	// HandedOver is called for each delivery that the queue accepted; swept tells the sweeper's from those handed over at once.
	HandedOver func(send dag.Send, swept bool)
	// EnqueueFailed is called for each delivery that the queue refused; the sweeper tries again.
	EnqueueFailed func(send dag.Send, err error)
	// Swept is called after each round of the sweeper with the age of the oldest entry that was due.
	Swept func(lag, took time.Duration)
}

// TeeHooks returns hooks that call each of the given ones in turn.
func TeeHooks(all ...Hooks) Hooks {
	return Hooks{
		RunStarted: func(workflow string) {
			for _, h := range all {
				if h.RunStarted != nil {
					h.RunStarted(workflow)
				}
			}
		},
		RunEnded: func(workflow string, state dag.RunState) {
			for _, h := range all {
				if h.RunEnded != nil {
					h.RunEnded(workflow, state)
				}
			}
		},
		StepSettled: func(claim *dag.Claim, state dag.StepState, took time.Duration) {
			for _, h := range all {
				if h.StepSettled != nil {
					h.StepSettled(claim, state, took)
				}
			}
		},
		StepTaken: func(claim dag.DeadClaim, crash bool) {
			for _, h := range all {
				if h.StepTaken != nil {
					h.StepTaken(claim, crash)
				}
			}
		},
		HandedOver: func(send dag.Send, swept bool) {
			for _, h := range all {
				if h.HandedOver != nil {
					h.HandedOver(send, swept)
				}
			}
		},
		EnqueueFailed: func(send dag.Send, err error) {
			for _, h := range all {
				if h.EnqueueFailed != nil {
					h.EnqueueFailed(send, err)
				}
			}
		},
		Swept: func(lag, took time.Duration) {
			for _, h := range all {
				if h.Swept != nil {
					h.Swept(lag, took)
				}
			}
		},
	}
}
