package simulation

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// How asynq keeps time: a lease holds for 30 s without renewal, is looked at each minute, and taken back 30 s after it ran out.
const (
	taskLease   = 30 * time.Second
	recoverScan = time.Minute
)

// task is a message as asynq has it.
type task struct {
	send    dag.Send
	state   engine.TaskState
	next    time.Time // of retry
	lease   time.Time // of active
	owner   *process  // of active; nil when nobody renews the lease
	verdict bool      // archived because the step failed
}

// queue is asynq, all queues in one. It is used by one goroutine at a time, but for Inspect and Enqueue, which the world's lock covers.
type queue struct {
	w      *world
	tasks  map[string]*task // by task ID
	lost   map[string]bool  // queues whose name was lost
	paused map[string]bool
	stalls time.Time // nothing is forwarded before, as when no server runs
}

func newQueue(w *world) *queue {
	return &queue{w: w, tasks: map[string]*task{}, lost: map[string]bool{}, paused: map[string]bool{}}
}

// clone is a copy to go back to.
func (q *queue) clone() *queue {
	c := &queue{w: q.w, tasks: map[string]*task{}, lost: maps.Clone(q.lost), paused: maps.Clone(q.paused)}
	for id, t := range q.tasks {
		same := *t
		c.tasks[id] = &same
	}
	return c
}

// in lists the tasks in one of the states, in a fixed order.
func (q *queue) in(states ...engine.TaskState) []*task {
	var list []*task
	for _, id := range slices.Sorted(maps.Keys(q.tasks)) {
		if slices.Contains(states, q.tasks[id].state) {
			list = append(list, q.tasks[id])
		}
	}
	return list
}

// waiting lists what can be delivered now.
func (q *queue) waiting() []*task {
	return slices.DeleteFunc(q.in(engine.TaskPending), func(t *task) bool { return q.paused[t.send.Queue] })
}

func (q *queue) add(send dag.Send) {
	delete(q.lost, send.Queue) // the client registers the name
	if _, known := q.tasks[send.TaskID()]; !known {
		q.tasks[send.TaskID()] = &task{send: send, state: engine.TaskPending}
	}
}

// tell is what asynq does when a handler has returned. The task may be gone or in other hands meanwhile; asynq does not notice either.
func (q *queue) tell(t *task, order asynqueue.Order, marked bool) {
	if q.tasks[t.send.TaskID()] != t || t.state != engine.TaskActive {
		return
	}
	t.owner = nil
	switch order.Act {
	case asynqueue.Drop:
		delete(q.tasks, t.send.TaskID())
	case asynqueue.Retry, asynqueue.Later:
		t.state, t.next, t.verdict = engine.TaskRetry, q.w.now.Add(order.Delay), false
	case asynqueue.Archive:
		t.state, t.verdict = engine.TaskArchived, marked
	}
}

// tick forwards retries and takes back what nobody renews.
func (q *queue) tick() {
	for _, t := range q.in(engine.TaskRetry, engine.TaskScheduled, engine.TaskActive) {
		switch {
		case t.state != engine.TaskActive && !t.next.After(q.w.now) && !q.w.now.Before(q.stalls):
			t.state = engine.TaskPending
		case t.state != engine.TaskActive:
		case t.owner != nil && t.owner.works():
			t.lease = q.w.now.Add(taskLease)
		case q.w.now.Sub(t.lease) >= taskLease && q.w.now.Unix()%int64(recoverScan/time.Second) == 0:
			order, marked := q.w.decide(callNone, wordLeaseExpired, "", 0)
			q.tell(t, order, marked)
		}
	}
}

// port is the queue as one process reaches it.
type port struct{ p *process }

var _ engine.Queue = port{}

func (o port) Enqueue(_ context.Context, send dag.Send) error {
	w := o.p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	switch o.p.fault("Enqueue") {
	case refused:
		return engine.ErrUnavailable
	case replyLost:
		w.queue.add(send)
		return engine.ErrUnavailable
	case passes:
		w.queue.add(send)
	}
	return nil
}

func (o port) Inspect(_ context.Context, name string, deliveries []dag.Delivery) ([]engine.TaskInfo, error) {
	w := o.p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.p.fault("Inspect") != passes {
		return nil, engine.ErrUnavailable
	}
	infos := make([]engine.TaskInfo, len(deliveries))
	for i, d := range deliveries {
		infos[i].State = engine.TaskNone
		if w.queue.lost[name] {
			infos[i].State = engine.TaskNoQueue
		} else if t, ok := w.queue.tasks[d.TaskID()]; ok {
			infos[i] = engine.TaskInfo{State: t.state, Next: t.next, Verdict: t.verdict}
		}
	}
	return infos, nil
}

func (o port) Delete(_ context.Context, _ string, d dag.Delivery) error {
	w := o.p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.p.fault("Delete") != passes {
		return engine.ErrUnavailable
	}
	if t, ok := w.queue.tasks[d.TaskID()]; ok && t.state != engine.TaskActive {
		delete(w.queue.tasks, d.TaskID())
	}
	return nil
}

func (o port) Adopt(_ context.Context, name string) error {
	o.p.w.mu.Lock()
	defer o.p.w.mu.Unlock()
	delete(o.p.w.queue.lost, name)
	return nil
}

func (o port) Archived(_ context.Context, name string, page int) (tasks []dag.Delivery, more bool, err error) {
	o.p.w.mu.Lock()
	defer o.p.w.mu.Unlock()
	for _, t := range o.p.w.queue.in(engine.TaskArchived) {
		if t.send.Queue == name && page == 1 {
			tasks = append(tasks, t.send.Delivery)
		}
	}
	return tasks, false, nil
}

func (o port) Queues(context.Context) ([]engine.QueueInfo, error) {
	o.p.w.mu.Lock()
	defer o.p.w.mu.Unlock()
	names := map[string]bool{}
	for _, t := range o.p.w.queue.tasks {
		names[t.send.Queue] = !o.p.w.queue.lost[t.send.Queue]
	}
	var list []engine.QueueInfo
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if names[name] {
			list = append(list, engine.QueueInfo{Name: name})
		}
	}
	return list, nil
}
