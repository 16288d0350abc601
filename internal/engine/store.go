package engine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Store is where the truth lives. Every method that changes something is one atomic transition, decided by the store's own clock, and
// idempotent: repeating a call whose reply was lost, with the same arguments, changes nothing twice and says so.
//
// A refusal that belongs to the protocol (another claim, another state) is a reply, not an error. Errors are [ErrNotFound],
// [ErrConflict], [ErrMemory] where a method names them, and otherwise [ErrUnavailable]: the store could not be asked, or its
// answer was lost, and the call may be repeated.
type Store interface {
	Starts
	Claims
	Agenda
	Repairs
	Operations
	Reads
	Catalog
}

// Starts creates runs.
type Starts interface {
	// CreateRun creates a run with its root steps queued, or finds the run that its idempotency key names already. It returns [ErrConflict]
	// when that run was started by another request body, and [ErrMemory] when the store has no room for new runs.
	CreateRun(ctx context.Context, run dag.NewRun) (dag.Created, error)
	// RunOfKey returns the run that an idempotency key of a workflow, namespace/name, names in a partition, and the fingerprint of the request
	// that started it; or [ErrNotFound].
	RunOfKey(ctx context.Context, partition int, workflow, key string) (run, fingerprint string, err error)
	// MemoryUse tells how full the store is: that one of its servers which is fullest. It is cheap enough to be asked each second.
	MemoryUse(ctx context.Context) (dag.Memory, error)
}

// Claims is the life of a step in a worker.
type Claims interface {
	// Begin claims a delivered step for a nonce. The same nonce again gets the same answer. It never takes a claim over.
	Begin(ctx context.Context, req dag.BeginRequest) (dag.Begun, error)
	// Heartbeat renews a claim, however late. From a nonce that was declared dead it takes that crash back, once, and reports the claim lost.
	Heartbeat(ctx context.Context, req dag.HeartbeatRequest) (dag.Beat, error)
	// Complete commits a claimed step's output and queues the children that became ready. Replies: OK, OK_ALREADY, FENCED, TOOBIG.
	Complete(ctx context.Context, req dag.CompleteRequest) (dag.Settled, error)
	// Fail commits a failed attempt. Replies: OK, OK_ALREADY, FENCED.
	Fail(ctx context.Context, req dag.FailRequest) (dag.Settled, error)
	// Release gives a claimed step back without a failure or a crash. Replies: OK, OK_ALREADY, FENCED.
	Release(ctx context.Context, ref dag.ClaimRef) (dag.Settled, error)
}

// Agenda is what the sweeper and the hand-over call.
type Agenda interface {
	// Waiting returns the partitions in which something is due, and the time on the clock of every partition, which are not all the same in a
	// cluster. When one of them cannot be reached it returns [ErrUnavailable], and Due tells which.
	Waiting(ctx context.Context) (partitions []int, clocks []time.Time, err error)
	// Due returns what waits in a partition, within limits. Entries that nothing waits for any more are dropped, or returned as stale.
	Due(ctx context.Context, partition int, limits dag.DueLimits) (dag.Due, error)
	// HandedOver drops the send entries of deliveries that the queue has accepted, or that nobody waits for.
	HandedOver(ctx context.Context, deliveries []dag.Delivery) error
	// Later moves the send entry of a delivery, if it is still there, to delay from now.
	Later(ctx context.Context, delivery dag.Delivery, delay time.Duration) error
	// Reissue gives a step a new epoch if it is as it was seen. Replies: OK, RACED, ALIVE.
	Reissue(ctx context.Context, req dag.ReissueRequest) (dag.Settled, error)
	// Expire ends a run whose deadline has passed. Replies: OK, OK_ALREADY (ended before), CONFLICT (the deadline is still ahead), NORUN.
	Expire(ctx context.Context, run string) (dag.Expired, error)
}

// Repairs is what the sweeper does about doubts, ended runs and disagreements.
type Repairs interface {
	// LookAgain sets when steps in doubt are looked at next, where the doubt is still there for that delivery.
	LookAgain(ctx context.Context, looks []dag.Look) error
	// Bury fails a queued or retrying step if it is as it was seen. Replies: OK, RACED.
	Bury(ctx context.Context, req dag.BuryRequest) (dag.Settled, error)
	// Purge removes ended runs whose retention is over, with all that belongs to them, and returns how many. Others stay.
	Purge(ctx context.Context, runs []string) (purged int, err error)
	// Audit compares counts and indexes of a partition's runs with their steps, a page at a time from cursor "".
	Audit(ctx context.Context, partition int, cursor string, limit int) (dag.AuditPage, error)
	// StepsAt returns where the steps of deliveries stand, in their order.
	StepsAt(ctx context.Context, deliveries []dag.Delivery) ([]dag.StepAt, error)
	// Share returns the groups of partitions, 0 to [SweepGroups]-1, that a sweeper is to work on, and keeps them for it for its TTL.
	Share(ctx context.Context, sweeper dag.SweeperInfo) (groups []int, err error)
}

// SweepGroups is the number of groups of partitions that sweepers share; partition p is in group p mod SweepGroups.
const SweepGroups = 16

// Operations is what operators do to a run. Every verb replies OK, OK_ALREADY, CONFLICT or NORUN.
type Operations interface {
	// Retry queues failed or retrying steps again.
	Retry(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error)
	// Skip settles a failed, queued, retrying or waiting step as skipped: its children go on without its output.
	Skip(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error)
	// Resolve settles such a step as succeeded, with an output that the operator gives. It also replies TOOBIG.
	Resolve(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error)
	// Cancel ends an open run: what is not running is cancelled at once, running handlers are told by their heartbeats.
	Cancel(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error)
	// Pause keeps a running run from beginning steps; what runs goes on.
	Pause(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error)
	// Resume lets a paused run go on.
	Resume(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error)
}

// Reads looks at runs without changing them. Methods that take a run's ID return [ErrNotFound] when there is none.
type Reads interface {
	Run(ctx context.Context, id string) (dag.RunView, error)
	Log(ctx context.Context, id string) ([]dag.LogEntry, error)
	Graph(ctx context.Context, id string) (*dag.Graph, error)
	// Output returns the output of a step, or [ErrNotFound].
	Output(ctx context.Context, id, step string) (json.RawMessage, error)
	DeadLetters(ctx context.Context, q dag.DeadLetterQuery) (dag.DeadLetterPage, error)
	Stats(ctx context.Context) (dag.StoreStats, error)
}

// Catalog is what all processes of an installation know of each other.
type Catalog interface {
	// PutWorkflow registers a version of a workflow. The same digest again is no change. Another digest under the same version returns
	// [ErrConflict] unless overwrite is set.
	PutWorkflow(ctx context.Context, reg dag.Registration, overwrite bool) error
	// Versions returns the registered versions of namespace/name in no order; none is no error.
	Versions(ctx context.Context, name string) ([]dag.Registration, error)
	// Workflows returns every registered version of every workflow.
	Workflows(ctx context.Context) ([]dag.Registration, error)
	// PutWorker announces a worker: its heartbeat, or its sign-off when left is set.
	PutWorker(ctx context.Context, w dag.WorkerInfo, left bool) error
	// Workers returns the workers heard of in the last hour, and the store's time now.
	Workers(ctx context.Context) ([]dag.WorkerInfo, time.Time, error)
	// Info describes the server.
	Info(ctx context.Context) (dag.StoreInfo, error)
}

// Queue carries deliveries to workers. It is a view of the store: whatever it loses, the sweeper sends again.
type Queue interface {
	// Enqueue hands a delivery over. A delivery that the queue knows already is no error.
	Enqueue(ctx context.Context, send dag.Send) error
	// Delete removes the task of a delivery where the queue still keeps one; none is no error.
	Delete(ctx context.Context, queue string, delivery dag.Delivery) error
	// Queues returns what waits in each queue, for status and metrics.
	Queues(ctx context.Context) ([]QueueInfo, error)
	// Inspect returns what the queue knows of the tasks of deliveries, in their order.
	Inspect(ctx context.Context, queue string, deliveries []dag.Delivery) ([]TaskInfo, error)
	// Adopt makes a queue known that holds tasks and whose name was lost.
	Adopt(ctx context.Context, queue string) error
	// Archived returns a page, from 1, of a queue's archived tasks that deliver steps, and whether there are more.
	Archived(ctx context.Context, queue string, page int) (tasks []dag.Delivery, more bool, err error)
}

// TaskInfo is a delivery's task as the queue has it.
type TaskInfo struct {
	State TaskState
	Next  time.Time // of [TaskScheduled] and [TaskRetry]: when it is to be delivered
	// Verdict says of an archived task that it is there because its step failed, and not because a person archived it.
	Verdict bool
}

// TaskState is where the queue has a task.
type TaskState string

// The states of a task.
const (
	TaskPending   TaskState = "pending"
	TaskScheduled TaskState = "scheduled"
	TaskRetry     TaskState = "retry"
	TaskActive    TaskState = "active"
	TaskArchived  TaskState = "archived"
	TaskCompleted TaskState = "completed"
	TaskNone      TaskState = "none"          // the queue does not know it
	TaskZombie    TaskState = "zombie"        // its ID is known, its content is lost
	TaskNoQueue   TaskState = "unknown_queue" // the name of its queue is lost
)

// QueueInfo is one queue as it stands.
type QueueInfo struct {
	Name                                        string
	Pending, Active, Scheduled, Retry, Archived int
	Completed                                   int
	ProcessedTotal, FailedTotal                 int
	MemoryBytes                                 int64
	Latency                                     time.Duration // age of the oldest pending task
	Paused                                      bool
}

// Schemas checks a run's input.
type Schemas interface {
	// Check returns an [*dag.InputError] when the input does not satisfy the schema. A nil schema accepts everything.
	Check(schema, input json.RawMessage) error
}
