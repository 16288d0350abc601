package enginetest

import (
	"context"
	"encoding/json"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// Fault is what happens to a call.
type Fault int

// The faults. Both look the same to the caller: [engine.ErrUnavailable].
const (
	FaultNone    Fault = iota
	FaultRefused       // the call does not reach the store
	FaultLost          // the store carries the call out, its reply is lost
)

// Faulty is a store whose calls go wrong as Hook says. A nil Hook lets all pass. Hook gets the method's name, for example "CreateRun",
// and is called once a call, by whichever goroutine makes it.
type Faulty struct {
	Store engine.Store
	Hook  func(method string) Fault
}

var _ engine.Store = (*Faulty)(nil)

func faulty[T any](f *Faulty, method string, call func() (T, error)) (T, error) {
	var none T
	fault := FaultNone
	if f.Hook != nil {
		fault = f.Hook(method)
	}
	if fault == FaultRefused {
		return none, engine.ErrUnavailable
	}
	reply, err := call()
	if fault == FaultLost {
		return none, engine.ErrUnavailable
	}
	return reply, err
}

func faultyError(f *Faulty, method string, call func() error) error {
	_, err := faulty(f, method, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// CreateRun is the store's, unless Hook says otherwise.
func (f *Faulty) CreateRun(ctx context.Context, run dag.NewRun) (dag.Created, error) {
	return faulty(f, "CreateRun", func() (dag.Created, error) { return f.Store.CreateRun(ctx, run) })
}

// RunOfKey is the store's, unless Hook says otherwise.
func (f *Faulty) RunOfKey(ctx context.Context, partition int, workflow, key string) (run, fingerprint string, err error) {
	run, err = faulty(f, "RunOfKey", func() (found string, err error) {
		found, fingerprint, err = f.Store.RunOfKey(ctx, partition, workflow, key)
		return found, err
	})
	return run, fingerprint, err
}

// MemoryUse is the store's, unless Hook says otherwise.
func (f *Faulty) MemoryUse(ctx context.Context) (dag.Memory, error) {
	return faulty(f, "MemoryUse", func() (dag.Memory, error) { return f.Store.MemoryUse(ctx) })
}

// Begin is the store's, unless Hook says otherwise.
func (f *Faulty) Begin(ctx context.Context, req dag.BeginRequest) (dag.Begun, error) {
	return faulty(f, "Begin", func() (dag.Begun, error) { return f.Store.Begin(ctx, req) })
}

// Heartbeat is the store's, unless Hook says otherwise.
func (f *Faulty) Heartbeat(ctx context.Context, req dag.HeartbeatRequest) (dag.Beat, error) {
	return faulty(f, "Heartbeat", func() (dag.Beat, error) { return f.Store.Heartbeat(ctx, req) })
}

// Complete is the store's, unless Hook says otherwise.
func (f *Faulty) Complete(ctx context.Context, req dag.CompleteRequest) (dag.Settled, error) {
	return faulty(f, "Complete", func() (dag.Settled, error) { return f.Store.Complete(ctx, req) })
}

// Fail is the store's, unless Hook says otherwise.
func (f *Faulty) Fail(ctx context.Context, req dag.FailRequest) (dag.Settled, error) {
	return faulty(f, "Fail", func() (dag.Settled, error) { return f.Store.Fail(ctx, req) })
}

// Release is the store's, unless Hook says otherwise.
func (f *Faulty) Release(ctx context.Context, ref dag.ClaimRef) (dag.Settled, error) {
	return faulty(f, "Release", func() (dag.Settled, error) { return f.Store.Release(ctx, ref) })
}

// Waiting is the store's, unless Hook says otherwise.
func (f *Faulty) Waiting(ctx context.Context) (partitions []int, clocks []time.Time, err error) {
	partitions, err = faulty(f, "Waiting", func() (found []int, err error) {
		found, clocks, err = f.Store.Waiting(ctx)
		return found, err
	})
	if err != nil {
		return nil, nil, err
	}
	return partitions, clocks, nil
}

// Due is the store's, unless Hook says otherwise.
func (f *Faulty) Due(ctx context.Context, partition int, limits dag.DueLimits) (dag.Due, error) {
	return faulty(f, "Due", func() (dag.Due, error) { return f.Store.Due(ctx, partition, limits) })
}

// HandedOver is the store's, unless Hook says otherwise.
func (f *Faulty) HandedOver(ctx context.Context, deliveries []dag.Delivery) error {
	return faultyError(f, "HandedOver", func() error { return f.Store.HandedOver(ctx, deliveries) })
}

// Later is the store's, unless Hook says otherwise.
func (f *Faulty) Later(ctx context.Context, delivery dag.Delivery, delay time.Duration) error {
	return faultyError(f, "Later", func() error { return f.Store.Later(ctx, delivery, delay) })
}

// Reissue is the store's, unless Hook says otherwise.
func (f *Faulty) Reissue(ctx context.Context, req dag.ReissueRequest) (dag.Settled, error) {
	return faulty(f, "Reissue", func() (dag.Settled, error) { return f.Store.Reissue(ctx, req) })
}

// Expire is the store's, unless Hook says otherwise.
func (f *Faulty) Expire(ctx context.Context, run string) (dag.Expired, error) {
	return faulty(f, "Expire", func() (dag.Expired, error) { return f.Store.Expire(ctx, run) })
}

// Retry is the store's, unless Hook says otherwise.
func (f *Faulty) Retry(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return faulty(f, "Retry", func() (dag.Operated, error) { return f.Store.Retry(ctx, req) })
}

// Run is the store's, unless Hook says otherwise.
func (f *Faulty) Run(ctx context.Context, id string) (dag.RunView, error) {
	return faulty(f, "Run", func() (dag.RunView, error) { return f.Store.Run(ctx, id) })
}

// Log is the store's, unless Hook says otherwise.
func (f *Faulty) Log(ctx context.Context, id string) ([]dag.LogEntry, error) {
	return faulty(f, "Log", func() ([]dag.LogEntry, error) { return f.Store.Log(ctx, id) })
}

// Graph is the store's, unless Hook says otherwise.
func (f *Faulty) Graph(ctx context.Context, id string) (*dag.Graph, error) {
	return faulty(f, "Graph", func() (*dag.Graph, error) { return f.Store.Graph(ctx, id) })
}

// Output is the store's, unless Hook says otherwise.
func (f *Faulty) Output(ctx context.Context, id, step string) (json.RawMessage, error) {
	return faulty(f, "Output", func() (json.RawMessage, error) { return f.Store.Output(ctx, id, step) })
}

// DeadLetters is the store's, unless Hook says otherwise.
func (f *Faulty) DeadLetters(ctx context.Context, q dag.DeadLetterQuery) (dag.DeadLetterPage, error) {
	return faulty(f, "DeadLetters", func() (dag.DeadLetterPage, error) { return f.Store.DeadLetters(ctx, q) })
}

// Stats is the store's, unless Hook says otherwise.
func (f *Faulty) Stats(ctx context.Context) (dag.StoreStats, error) {
	return faulty(f, "Stats", func() (dag.StoreStats, error) { return f.Store.Stats(ctx) })
}

// PutWorkflow is the store's, unless Hook says otherwise.
func (f *Faulty) PutWorkflow(ctx context.Context, reg dag.Registration, overwrite bool) error {
	return faultyError(f, "PutWorkflow", func() error { return f.Store.PutWorkflow(ctx, reg, overwrite) })
}

// Versions is the store's, unless Hook says otherwise.
func (f *Faulty) Versions(ctx context.Context, name string) ([]dag.Registration, error) {
	return faulty(f, "Versions", func() ([]dag.Registration, error) { return f.Store.Versions(ctx, name) })
}

// Workflows is the store's, unless Hook says otherwise.
func (f *Faulty) Workflows(ctx context.Context) ([]dag.Registration, error) {
	return faulty(f, "Workflows", func() ([]dag.Registration, error) { return f.Store.Workflows(ctx) })
}

// PutWorker is the store's, unless Hook says otherwise.
func (f *Faulty) PutWorker(ctx context.Context, w dag.WorkerInfo, left bool) error {
	return faultyError(f, "PutWorker", func() error { return f.Store.PutWorker(ctx, w, left) })
}

// Workers is the store's, unless Hook says otherwise.
func (f *Faulty) Workers(ctx context.Context) (workers []dag.WorkerInfo, now time.Time, err error) {
	workers, err = faulty(f, "Workers", func() (found []dag.WorkerInfo, err error) {
		found, now, err = f.Store.Workers(ctx)
		return found, err
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return workers, now, nil
}

// Info is the store's, unless Hook says otherwise.
func (f *Faulty) Info(ctx context.Context) (dag.StoreInfo, error) {
	return faulty(f, "Info", func() (dag.StoreInfo, error) { return f.Store.Info(ctx) })
}
