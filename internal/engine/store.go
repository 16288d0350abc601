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
	// Due returns at most limit entries of each kind that wait in a partition.
	Due(ctx context.Context, partition, limit int) (dag.Due, error)
	// HandedOver drops the send entries of deliveries that the queue has accepted, or that nobody waits for.
	HandedOver(ctx context.Context, deliveries []dag.Delivery) error
	// Later moves the send entry of a delivery, if it is still there, to delay from now.
	Later(ctx context.Context, delivery dag.Delivery, delay time.Duration) error
	// Reissue gives a step a new epoch if it is as it was seen. Replies: OK, RACED, ALIVE.
	Reissue(ctx context.Context, req dag.ReissueRequest) (dag.Settled, error)
	// Expire ends a run whose deadline has passed. Replies: OK, OK_ALREADY (ended before), CONFLICT (the deadline is still ahead), NORUN.
	Expire(ctx context.Context, run string) (dag.Expired, error)
}

// Operations is what operators do to a run.
type Operations interface {
	// Retry queues failed or retrying steps again. Replies: OK, OK_ALREADY, CONFLICT, NORUN.
	Retry(ctx context.Context, req dag.RetryRequest) (dag.Retried, error)
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
}

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
