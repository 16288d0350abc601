package enginetest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// FakeQueue is a queue without workers: a test takes the tasks itself. The zero value is empty and ready to use. As in asynq, a task that is
// known already is not added again, until it is done or deleted, and the name of a queue that was lost stays so until it is adopted.
type FakeQueue struct {
	// Refuse is asked before each Enqueue; its error, if any, is the answer and nothing is added. Nil refuses none. It is called
	// under the queue's lock.
	Refuse func(send dag.Send) error
	// Blind is asked before each Inspect in the same way.
	Blind func(delivery dag.Delivery) error

	mu        sync.Mutex
	pending   []dag.Send                 // in their order
	kept      map[dag.Delivery]*fakeTask // all others
	lost      map[string]bool            // queues whose names are lost
	delivered []dag.Send
	deleted   []dag.Delivery
	adopted   []string
	arrived   chan struct{} // closed and replaced when something arrives
}

// fakeTask is a task that does not wait to be taken.
type fakeTask struct {
	queue string
	info  engine.TaskInfo
}

var _ engine.Queue = (*FakeQueue)(nil)

// Enqueue implements [engine.Queue].
func (q *FakeQueue) Enqueue(_ context.Context, send dag.Send) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.Refuse != nil {
		if err := q.Refuse(send); err != nil {
			return err
		}
	}
	if q.kept[send.Delivery] != nil || slices.ContainsFunc(q.pending, func(s dag.Send) bool { return s.Delivery == send.Delivery }) {
		return nil
	}
	q.delivered = append(q.delivered, send)
	q.add(send)
	return nil
}

// add makes a task pending. The caller holds the lock.
func (q *FakeQueue) add(send dag.Send) {
	q.pending = append(q.pending, send)
	if q.arrived != nil {
		close(q.arrived)
		q.arrived = nil
	}
}

// keep notes a task that is not pending. The caller holds the lock.
func (q *FakeQueue) keep(queue string, delivery dag.Delivery, info engine.TaskInfo) {
	if q.kept == nil {
		q.kept = map[dag.Delivery]*fakeTask{}
	}
	q.kept[delivery] = &fakeTask{queue: queue, info: info}
}

// remove forgets a task. The caller holds the lock.
func (q *FakeQueue) remove(delivery dag.Delivery) {
	delete(q.kept, delivery)
	q.pending = slices.DeleteFunc(q.pending, func(s dag.Send) bool { return s.Delivery == delivery })
}

// Delete implements [engine.Queue]. An active task stays.
func (q *FakeQueue) Delete(_ context.Context, _ string, delivery dag.Delivery) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deleted = append(q.deleted, delivery)
	if task := q.kept[delivery]; task == nil || task.info.State != engine.TaskActive {
		q.remove(delivery)
	}
	return nil
}

// Queues implements [engine.Queue].
func (q *FakeQueue) Queues(context.Context) ([]engine.QueueInfo, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	infos := map[string]*engine.QueueInfo{}
	at := func(name string) *engine.QueueInfo {
		if infos[name] == nil {
			infos[name] = &engine.QueueInfo{Name: name}
		}
		return infos[name]
	}
	for _, s := range q.pending {
		at(s.Queue).Pending++
	}
	for _, task := range q.kept {
		task.count(at(task.queue))
	}
	var list []engine.QueueInfo
	for _, name := range slices.Sorted(maps.Keys(infos)) {
		if !q.lost[name] {
			list = append(list, *infos[name])
		}
	}
	return list, nil
}

func (t *fakeTask) count(info *engine.QueueInfo) {
	switch t.info.State {
	case engine.TaskActive, engine.TaskZombie: // asynq cannot tell them apart
		info.Active++
	case engine.TaskScheduled:
		info.Scheduled++
	case engine.TaskRetry:
		info.Retry++
	case engine.TaskArchived:
		info.Archived++
	case engine.TaskCompleted:
		info.Completed++
	default:
	}
}

// Take takes the oldest task; ok is false when there is none. It stays active until [FakeQueue.Done].
func (q *FakeQueue) Take() (send dag.Send, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.take()
}

func (q *FakeQueue) take() (send dag.Send, ok bool) {
	if len(q.pending) == 0 {
		return dag.Send{}, false
	}
	send = q.pending[0]
	q.pending = q.pending[1:]
	q.keep(send.Queue, send.Delivery, engine.TaskInfo{State: engine.TaskActive})
	return send, true
}

// Next is Take, but waits for a task until ctx ends.
func (q *FakeQueue) Next(ctx context.Context) (dag.Send, error) {
	for {
		q.mu.Lock()
		send, ok := q.take()
		if q.arrived == nil {
			q.arrived = make(chan struct{})
		}
		arrived := q.arrived
		q.mu.Unlock()
		if ok {
			return send, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return dag.Send{}, ctx.Err()
		}
	}
}

// Done ends an active task: its worker has acknowledged it.
func (q *FakeQueue) Done(delivery dag.Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.kept, delivery)
}

// Lose forgets every task, as a queue does whose Redis was rolled back. The names of queues stay.
func (q *FakeQueue) Lose() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = nil
	clear(q.kept)
}

// Delivered returns every task that was ever added, in order.
func (q *FakeQueue) Delivered() []dag.Send {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.delivered)
}

// Deleted returns the deliveries whose deletion was asked for, sorted by task ID.
func (q *FakeQueue) Deleted() []dag.Delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.SortedFunc(slices.Values(q.deleted), func(a, b dag.Delivery) int { return strings.Compare(a.TaskID(), b.TaskID()) })
}
