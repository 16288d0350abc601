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
// known already is not added again, until it is done or deleted.
type FakeQueue struct {
	// Refuse is asked before each Enqueue; its error, if any, is the answer and nothing is added. Nil refuses none. It is called
	// under the queue's lock.
	Refuse func(send dag.Send) error

	mu        sync.Mutex
	pending   []dag.Send
	active    map[dag.Delivery]string // taken and not done, with its queue
	delivered []dag.Send
	deleted   []dag.Delivery
	arrived   chan struct{} // closed and replaced when something arrives
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
	if _, ok := q.active[send.Delivery]; ok || slices.ContainsFunc(q.pending, func(s dag.Send) bool { return s.Delivery == send.Delivery }) {
		return nil
	}
	q.pending = append(q.pending, send)
	q.delivered = append(q.delivered, send)
	if q.arrived != nil {
		close(q.arrived)
		q.arrived = nil
	}
	return nil
}

// Delete implements [engine.Queue].
func (q *FakeQueue) Delete(_ context.Context, _ string, delivery dag.Delivery) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deleted = append(q.deleted, delivery)
	q.pending = slices.DeleteFunc(q.pending, func(s dag.Send) bool { return s.Delivery == delivery })
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
	for _, name := range q.active {
		at(name).Active++
	}
	var list []engine.QueueInfo
	for _, name := range slices.Sorted(maps.Keys(infos)) {
		list = append(list, *infos[name])
	}
	return list, nil
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
	if q.active == nil {
		q.active = map[dag.Delivery]string{}
	}
	q.active[send.Delivery] = send.Queue
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
	delete(q.active, delivery)
}

// Lose forgets every task, as a queue does whose Redis was rolled back.
func (q *FakeQueue) Lose() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = nil
	clear(q.active)
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
