package engine_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// archivePage is the number of archived tasks on a page of [tasks].
const archivePage = 2

// tasks is a queue whose tasks are where the test says they are: pending unless it says otherwise.
type tasks struct {
	*enginetest.FakeQueue
	now func() time.Time
	at  func(d dag.Delivery, now time.Time) (engine.TaskInfo, error)

	mu      sync.Mutex
	looks   []look
	adopted []string
	archive []dag.Delivery // of the queue shop
}

// look is an inspection of a task.
type look struct {
	dag.Delivery
	queue string
	at    time.Time
}

func (q *tasks) Inspect(_ context.Context, queue string, d dag.Delivery) (engine.TaskInfo, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.looks = append(q.looks, look{d, queue, q.now()})
	if q.at == nil {
		return engine.TaskInfo{State: engine.TaskPending}, nil
	}
	return q.at(d, q.now())
}

func (q *tasks) Adopt(_ context.Context, queue string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.adopted = append(q.adopted, queue)
	return nil
}

func (q *tasks) Queues(context.Context) ([]engine.QueueInfo, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return []engine.QueueInfo{{Name: "idle"}, {Name: "shop", Archived: len(q.archive)}}, nil
}

func (q *tasks) Archived(_ context.Context, _ string, page int) ([]dag.Delivery, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	from := min((page-1)*archivePage, len(q.archive))
	found := slices.Clone(q.archive[from:min(from+archivePage, len(q.archive))])
	return found, len(found) > 0, nil
}

func (q *tasks) Delete(ctx context.Context, queue string, d dag.Delivery) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.archive = slices.DeleteFunc(q.archive, func(a dag.Delivery) bool { return a == d })
	return q.FakeQueue.Delete(ctx, queue, d)
}

// looked returns the looks so far.
func (q *tasks) looked() []look {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.looks)
}

// verdict is what a look came to.
type verdict struct {
	Step   dag.StepState
	Task   engine.TaskState
	Action engine.Action
}

// seen is what an engine's hooks told.
type seen struct {
	mu         sync.Mutex
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
