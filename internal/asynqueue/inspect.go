package asynqueue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

const (
	// allQueues is asynq's own set of the names of all queues, part of its schema since its first release.
	allQueues = "asynq:queues"
	// archivedPage is the number of tasks that one look into an archive reads.
	archivedPage = 100
)

// Inspect returns what asynq knows of a delivery's task. It costs asynq's two reads, of the queue's name and of the task. Errors wrap
// engine.ErrUnavailable. It returns when ctx ends, although asynq's own call cannot be ended.
func (q *Queue) Inspect(ctx context.Context, queue string, delivery dag.Delivery) (engine.TaskInfo, error) {
	name := QueueName(q.prefix, queue)
	info, err := ask(ctx, func() (*asynq.TaskInfo, error) { return q.inspector.GetTaskInfo(name, delivery.TaskID()) })
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound):
		return engine.TaskInfo{State: engine.TaskNone}, nil
	case errors.Is(err, asynq.ErrQueueNotFound):
		return engine.TaskInfo{State: engine.TaskNoQueue}, nil
	case err != nil:
		return engine.TaskInfo{}, fmt.Errorf("inspect task %s of queue %s: %w: %w", delivery.TaskID(), name, engine.ErrUnavailable, err)
	}
	return taskInfo(info), nil
}

// taskInfo reads what asynq says of a task of ours.
func taskInfo(i *asynq.TaskInfo) engine.TaskInfo {
	if i.Type == "" && i.MaxRetry == 0 { // no task of ours is so: the hash is there, its message is lost, and no worker ever gets it
		return engine.TaskInfo{State: engine.TaskZombie}
	}
	switch i.State {
	case asynq.TaskStatePending:
		return engine.TaskInfo{State: engine.TaskPending}
	case asynq.TaskStateScheduled:
		return engine.TaskInfo{State: engine.TaskScheduled, Next: i.NextProcessAt}
	case asynq.TaskStateRetry:
		return engine.TaskInfo{State: engine.TaskRetry, Next: i.NextProcessAt}
	case asynq.TaskStateActive:
		return engine.TaskInfo{State: engine.TaskActive}
	case asynq.TaskStateArchived:
		return engine.TaskInfo{State: engine.TaskArchived, Verdict: strings.HasPrefix(i.LastErr, failedMark)}
	case asynq.TaskStateCompleted:
		return engine.TaskInfo{State: engine.TaskCompleted}
	case asynq.TaskStateAggregating: // waits to become part of another task, which delivers no step
	}
	return engine.TaskInfo{State: engine.TaskNone}
}

// Adopt makes a queue known to asynq again. An asynq client says the name of a queue once in its life: when Redis lost it, by a roll-back or because
// somebody deleted the queue, the tasks that are enqueued since are delivered, but no inspector, ours or a dashboard's, finds them. Errors wrap
// engine.ErrUnavailable and the call may be repeated.
func (q *Queue) Adopt(ctx context.Context, queue string) error {
	name := QueueName(q.prefix, queue)
	if err := q.redis.SAdd(ctx, allQueues, name).Err(); err != nil {
		return fmt.Errorf("adopt queue %s: %w: %w", name, engine.ErrUnavailable, err)
	}
	return nil
}

// Archived returns the deliveries among a page of archived tasks, latest first; a page may have none. Pages count from 1, and more is false with the
// first page that is empty: asynq leaves out tasks whose content is lost, so that a short page says nothing. Errors wrap engine.ErrUnavailable.
func (q *Queue) Archived(ctx context.Context, queue string, page int) (steps []dag.Delivery, more bool, err error) {
	name := QueueName(q.prefix, queue)
	archived, err := ask(ctx, func() ([]*asynq.TaskInfo, error) {
		return q.inspector.ListArchivedTasks(name, asynq.Page(page), asynq.PageSize(archivedPage))
	})
	if errors.Is(err, asynq.ErrQueueNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("list archived tasks of queue %s: %w: %w", name, engine.ErrUnavailable, err)
	}
	for _, t := range archived {
		if d, is := tasks.DeliveryOf(t.ID, t.Type, t.Payload); is {
			steps = append(steps, d)
		}
	}
	return steps, len(archived) > 0, nil
}

// ask waits for a call of asynq's inspector, which takes no context, until ctx ends. The call itself ends with Redis's patience.
func ask[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	if err := ctx.Err(); err != nil {
		var none T
		return none, err
	}
	said := make(chan answer, 1)
	go func() {
		v, err := call()
		said <- answer{v, err}
	}()
	select {
	case a := <-said:
		return a.v, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
