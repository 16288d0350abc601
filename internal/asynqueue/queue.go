package asynqueue

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// DefaultPrefix is the key prefix with which queue names stay as they are.
const DefaultPrefix = "sw"

const (
	// taskTimeout is asynq's own bound of a task. It stays above every step's timeout, which the wrapper enforces.
	taskTimeout = 24 * time.Hour
	// taskMaxRetry is above every policy's max_attempts, so that asynq never archives a task by itself: the engine counts failures and says
	// when it is enough. A smaller number for each step would save nothing.
	taskMaxRetry = dag.MaxAttempts + 1
	// headerTraceParent and headerEnqueuedAt are headers of a task. The second is RFC 3339 with milliseconds.
	headerTraceParent = "traceparent"
	headerEnqueuedAt  = "enqueued_at"
)

// Options are the optional parts of a [Queue].
type Options struct {
	// Prefix is the key prefix of the installation; "" means [DefaultPrefix]. Any other goes before every queue name, because asynq's own keys
	// know no prefix.
	Prefix string
	// Now is the clock for the enqueue time in a task's headers; nil means time.Now.
	Now func() time.Time
}

// Queue is engine.Queue on asynq. It is safe for concurrent use. It has nothing to close; the Redis client stays its caller's.
type Queue struct {
	redis     redis.UniversalClient
	client    *asynq.Client
	inspector *asynq.Inspector
	prefix    string
	now       func() time.Time
}

// NewQueue returns a Queue on a Redis client that the caller closes when the Queue is used no more.
func NewQueue(client redis.UniversalClient, opts Options) (*Queue, error) {
	if client == nil {
		return nil, errors.New("asynqueue: a redis client is required")
	}
	prefix, err := checkPrefix(opts.Prefix)
	if err != nil {
		return nil, err
	}
	if opts.Now == nil {
		opts.Now = time.Now //nolint:forbidigo // the default clock
	}
	return &Queue{
		redis:     client,
		client:    asynq.NewClientFromRedisClient(client),
		inspector: asynq.NewInspectorFromRedisClient(client),
		prefix:    prefix,
		now:       opts.Now,
	}, nil
}

// prefixPattern is that of the key prefix: nothing that asynq would take for a hash tag.
var prefixPattern = regexp.MustCompile(`^[a-z0-9-]{1,16}$`)

func checkPrefix(prefix string) (string, error) {
	if prefix == "" {
		return DefaultPrefix, nil
	}
	if !prefixPattern.MatchString(prefix) {
		return "", fmt.Errorf("%w prefix %q of queue names: 1 to 16 of a-z, 0-9 and -", dag.ErrInvalid, prefix)
	}
	return prefix, nil
}

// QueueName is asynq's name for one of our queues under a key prefix.
func QueueName(prefix, queue string) string {
	if prefix == "" || prefix == DefaultPrefix {
		return queue
	}
	return prefix + "-" + queue
}

// Enqueue hands a delivery over. That asynq knows its task ID already means that it was handed over before, and is no error. Errors wrap
// engine.ErrUnavailable and the call may be repeated.
func (q *Queue) Enqueue(ctx context.Context, send dag.Send) error {
	payload, err := tasks.Payload{Run: send.Run, Step: send.Step, Epoch: send.Epoch, Def: send.Def}.Encode()
	if err != nil {
		return err
	}
	headers := map[string]string{headerEnqueuedAt: q.now().UTC().Format("2006-01-02T15:04:05.000Z07:00")}
	if send.TraceParent != "" {
		headers[headerTraceParent] = send.TraceParent
	}
	queue := QueueName(q.prefix, send.Queue)
	task := asynq.NewTaskWithHeaders(tasks.TypeOf(send.Handler), payload, headers)
	_, err = q.client.EnqueueContext(ctx, task,
		asynq.TaskID(send.TaskID()), asynq.Queue(queue), asynq.MaxRetry(taskMaxRetry), asynq.Timeout(taskTimeout))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("enqueue task %s on queue %s: %w: %w", send.TaskID(), queue, engine.ErrUnavailable, err)
	}
	return nil
}

// Delete removes the task of a delivery where the queue still keeps one; none is no error. asynq does not delete a task that is active.
// It returns when ctx ends, as Inspect does.
func (q *Queue) Delete(ctx context.Context, queue string, delivery dag.Delivery) error {
	name := QueueName(q.prefix, queue)
	_, err := ask(ctx, func() (struct{}, error) { return struct{}{}, q.inspector.DeleteTask(name, delivery.TaskID()) })
	if err != nil && !errors.Is(err, asynq.ErrTaskNotFound) && !errors.Is(err, asynq.ErrQueueNotFound) {
		return fmt.Errorf("delete task %s from queue %s: %w", delivery.TaskID(), name, err)
	}
	return nil
}

// Queues returns what waits in each queue, by the names that definitions use. Under [DefaultPrefix] it lists every queue of the server,
// because names without a prefix cannot be told from those of other programs. asynq samples memory for each: callers cache.
// It returns when ctx ends, as Inspect does.
func (q *Queue) Queues(ctx context.Context) ([]engine.QueueInfo, error) {
	names, err := ask(ctx, q.inspector.Queues)
	if err != nil {
		return nil, fmt.Errorf("list queues: %w: %w", engine.ErrUnavailable, err)
	}
	var out []engine.QueueInfo
	for _, name := range names {
		ours, is := q.ours(name)
		if !is {
			continue
		}
		info, err := ask(ctx, func() (*asynq.QueueInfo, error) { return q.inspector.GetQueueInfo(name) })
		if errors.Is(err, asynq.ErrQueueNotFound) {
			continue // deleted since it was listed
		}
		if err != nil {
			return nil, fmt.Errorf("look at queue %s: %w: %w", name, engine.ErrUnavailable, err)
		}
		out = append(out, queueInfo(ours, info))
	}
	return out, nil
}

// ours is the name without the prefix of the installation; is tells whether it has that prefix.
func (q *Queue) ours(name string) (ours string, is bool) {
	if q.prefix == DefaultPrefix {
		return name, true
	}
	return strings.CutPrefix(name, q.prefix+"-")
}

func queueInfo(name string, i *asynq.QueueInfo) engine.QueueInfo {
	return engine.QueueInfo{
		Name:    name,
		Pending: i.Pending, Active: i.Active, Scheduled: i.Scheduled, Retry: i.Retry, Archived: i.Archived,
		Completed:      i.Completed,
		ProcessedTotal: i.ProcessedTotal, FailedTotal: i.FailedTotal,
		MemoryBytes: i.MemoryUsage,
		Latency:     i.Latency,
		Paused:      i.Paused,
	}
}
