package engine_test

import (
	"sync"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// look is a look at a task.
type look struct {
	dag.Delivery
	at time.Time
}

// watch notes each look at a task of the rig's queue, and answers those that refuse has an error for with that.
func (r *rig) watch(refuse func() error) {
	r.queue.Blind = func(d dag.Delivery) error {
		r.seen.mu.Lock()
		defer r.seen.mu.Unlock()
		r.seen.looks = append(r.seen.looks, look{d, r.store.Now()})
		return refuse()
	}
}

// answer refuses no look.
func answer() error { return nil }

// verdict is what a look came to.
type verdict struct {
	Step   dag.StepState
	Task   engine.TaskState
	Action engine.Action
}

// seen is what an engine's hooks told.
type seen struct {
	mu         sync.Mutex
	looks      []look
	verdicts   []verdict
	purged     int
	mismatches []dag.Mismatch
	verbs      []string
	ended      []dag.RunState
	taken      int
}

func (s *seen) hooks() engine.Hooks {
	note := func(f func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
	}
	return engine.Hooks{
		Looked: func(step dag.StepState, task engine.TaskState, action engine.Action) {
			note(func() { s.verdicts = append(s.verdicts, verdict{step, task, action}) })
		},
		Purged:    func(n int) { note(func() { s.purged += n }) },
		Mismatch:  func(m dag.Mismatch) { note(func() { s.mismatches = append(s.mismatches, m) }) },
		Operated:  func(verb string) { note(func() { s.verbs = append(s.verbs, verb) }) },
		RunEnded:  func(_ string, state dag.RunState) { note(func() { s.ended = append(s.ended, state) }) },
		StepTaken: func(dag.DeadClaim, bool) { note(func() { s.taken++ }) },
	}
}
