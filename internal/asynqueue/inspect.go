package asynqueue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

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

// taskKey is the hash in which asynq keeps a task, by its schema. Looked at directly it tells of the tasks that are all right, which is nearly every task
// that is looked for, at a fraction of what asynq's script costs.
func taskKey(queue string, d dag.Delivery) string { return "asynq:{" + queue + "}:t:" + d.TaskID() }

// waits tells by the fields state and msg of a task whether it waits in its queue with its content.
func waits(fields []any) bool {
	return fields[0] == asynq.TaskStatePending.String() && fields[1] != nil
}

// Inspect returns what asynq knows of the tasks of deliveries, in their order: one round trip for those that wait in the queue, and asynq's
// own two more for each other. Errors wrap engine.ErrUnavailable. It returns when ctx ends, although asynq's own calls cannot be ended.
func (q *Queue) Inspect(ctx context.Context, queue string, deliveries []dag.Delivery) ([]engine.TaskInfo, error) {
	name := QueueName(q.prefix, queue)
	var known *redis.BoolCmd
	tasks := make([]*redis.SliceCmd, len(deliveries))
	_, err := q.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		known = p.SIsMember(ctx, allQueues, name)
		for i, d := range deliveries {
			tasks[i] = p.HMGet(ctx, taskKey(name, d), "state", "msg")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("inspect %d tasks of queue %s: %w: %w", len(deliveries), name, engine.ErrUnavailable, err)
	}
	infos := make([]engine.TaskInfo, len(deliveries))
	for i, d := range deliveries {
		switch fields := tasks[i].Val(); {
		case !known.Val():
			infos[i].State = engine.TaskNoQueue
		case waits(fields):
			infos[i].State = engine.TaskPending
		default:
			if infos[i], err = q.inspect(ctx, name, d); err != nil {
				return nil, err
			}
		}
	}
	return infos, nil
}

// inspect asks asynq's inspector.
func (q *Queue) inspect(ctx context.Context, name string, delivery dag.Delivery) (engine.TaskInfo, error) {
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
