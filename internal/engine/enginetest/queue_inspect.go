package enginetest

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// ArchivedPage is how many tasks a page of [FakeQueue.Archived] has.
const ArchivedPage = 10

// Inspect implements [engine.Queue].
func (q *FakeQueue) Inspect(_ context.Context, queue string, deliveries []dag.Delivery) ([]engine.TaskInfo, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	infos := make([]engine.TaskInfo, len(deliveries))
	for i, d := range deliveries {
		if q.Blind != nil {
			if err := q.Blind(d); err != nil {
				return nil, err
			}
		}
		infos[i] = q.inspect(queue, d)
	}
	return infos, nil
}

func (q *FakeQueue) inspect(queue string, delivery dag.Delivery) engine.TaskInfo {
	if q.lost[queue] {
		return engine.TaskInfo{State: engine.TaskNoQueue}
	}
	if task := q.kept[delivery]; task != nil {
		return task.info
	}
	if slices.ContainsFunc(q.pending, func(s dag.Send) bool { return s.Delivery == delivery }) {
		return engine.TaskInfo{State: engine.TaskPending}
	}
	return engine.TaskInfo{State: engine.TaskNone}
}

// Put moves the task of a send to a state, wherever it was and whether or not the queue had it: what workers, asynq's timers and a person with a
// dashboard do to tasks, and what an outage leaves of them. [engine.TaskNone] removes it. [engine.TaskNoQueue] is no state of a task:
// see [FakeQueue.LoseQueue].
func (q *FakeQueue) Put(send dag.Send, info engine.TaskInfo) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(send.Delivery)
	switch info.State {
	case engine.TaskNone:
	case engine.TaskPending:
		q.add(send)
	default:
		q.keep(send.Queue, send.Delivery, info)
	}
}

// LoseQueue loses the name of a queue: its tasks stay, and workers get them, but nobody can look at them until it is adopted.
func (q *FakeQueue) LoseQueue(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lost == nil {
		q.lost = map[string]bool{}
	}
	q.lost[name] = true
}

// Adopt implements [engine.Queue].
func (q *FakeQueue) Adopt(_ context.Context, queue string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.lost, queue)
	q.adopted = append(q.adopted, queue)
	return nil
}

// Adopted returns the names of the queues that were adopted, in order.
func (q *FakeQueue) Adopted() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.adopted)
}

// Archived implements [engine.Queue]. Pages are in the order of task IDs and of [ArchivedPage] tasks; those of a queue whose name is lost are empty.
func (q *FakeQueue) Archived(_ context.Context, queue string, page int) (tasks []dag.Delivery, more bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lost[queue] {
		return nil, false, nil
	}
	all := slices.SortedFunc(maps.Keys(q.kept), func(a, b dag.Delivery) int { return strings.Compare(a.TaskID(), b.TaskID()) })
	all = slices.DeleteFunc(all, func(d dag.Delivery) bool {
		return q.kept[d].queue != queue || q.kept[d].info.State != engine.TaskArchived
	})
	from := min(len(all), (page-1)*ArchivedPage)
	to := min(len(all), from+ArchivedPage)
	return all[from:to], to < len(all), nil
}
