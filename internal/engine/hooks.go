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
	// Looked is called for each step in doubt that this process looked at, with where it stood, where its task was and what the two mean.
	Looked func(step dag.StepState, task TaskState, action Action)
	// Purged is called with the number of runs that this process removed at the end of their retention.
	Purged func(runs int)
	// Mismatch is called for each disagreement that an audit of this process found.
	Mismatch func(m dag.Mismatch)
	// Operated is called for each request of an operator that this process carried out.
	Operated func(verb string)
}

// TeeHooks returns hooks that call each of the given ones in turn.
func TeeHooks(all ...Hooks) Hooks {
	return Hooks{
		RunStarted:    tee1(all, func(h Hooks) func(string) { return h.RunStarted }),
		RunEnded:      tee2(all, func(h Hooks) func(string, dag.RunState) { return h.RunEnded }),
		StepSettled:   tee3(all, func(h Hooks) func(*dag.Claim, dag.StepState, time.Duration) { return h.StepSettled }),
		StepTaken:     tee2(all, func(h Hooks) func(dag.DeadClaim, bool) { return h.StepTaken }),
		HandedOver:    tee2(all, func(h Hooks) func(dag.Send, bool) { return h.HandedOver }),
		EnqueueFailed: tee2(all, func(h Hooks) func(dag.Send, error) { return h.EnqueueFailed }),
		Swept:         tee2(all, func(h Hooks) func(lag, took time.Duration) { return h.Swept }),
		Looked:        tee3(all, func(h Hooks) func(dag.StepState, TaskState, Action) { return h.Looked }),
		Purged:        tee1(all, func(h Hooks) func(int) { return h.Purged }),
		Mismatch:      tee1(all, func(h Hooks) func(dag.Mismatch) { return h.Mismatch }),
		Operated:      tee1(all, func(h Hooks) func(string) { return h.Operated }),
	}
}

// tee1, tee2 and tee3 join funcs of one, two and three arguments; of picks the func out of hooks.
func tee1[A any](all []Hooks, of func(Hooks) func(A)) func(A) {
	return func(a A) {
		for _, h := range all {
			if f := of(h); f != nil {
				f(a)
			}
		}
	}
}

func tee2[A, B any](all []Hooks, of func(Hooks) func(A, B)) func(A, B) {
	return func(a A, b B) {
		for _, h := range all {
			if f := of(h); f != nil {
				f(a, b)
			}
		}
	}
}

func tee3[A, B, C any](all []Hooks, of func(Hooks) func(A, B, C)) func(A, B, C) {
	return func(a A, b B, c C) {
		for _, h := range all {
			if f := of(h); f != nil {
				f(a, b, c)
			}
		}
	}
}
