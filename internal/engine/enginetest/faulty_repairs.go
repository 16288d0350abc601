package enginetest

import (
	"context"

	"github.com/stepwell/stepwell/pkg/dag"
)

// LookAgain is the store's, unless Hook says otherwise.
func (f *Faulty) LookAgain(ctx context.Context, looks []dag.Look) error {
	return faultyError(f, "LookAgain", func() error { return f.Store.LookAgain(ctx, looks) })
}

// Bury is the store's, unless Hook says otherwise.
func (f *Faulty) Bury(ctx context.Context, req dag.BuryRequest) (dag.Settled, error) {
	return faulty(f, "Bury", func() (dag.Settled, error) { return f.Store.Bury(ctx, req) })
}

// Purge is the store's, unless Hook says otherwise.
func (f *Faulty) Purge(ctx context.Context, runs []string) (int, error) {
	return faulty(f, "Purge", func() (int, error) { return f.Store.Purge(ctx, runs) })
}

// Audit is the store's, unless Hook says otherwise.
func (f *Faulty) Audit(ctx context.Context, partition int, cursor string, limit int) (dag.AuditPage, error) {
	return faulty(f, "Audit", func() (dag.AuditPage, error) { return f.Store.Audit(ctx, partition, cursor, limit) })
}

// StepsAt is the store's, unless Hook says otherwise.
func (f *Faulty) StepsAt(ctx context.Context, deliveries []dag.Delivery) ([]dag.StepAt, error) {
	return faulty(f, "StepsAt", func() ([]dag.StepAt, error) { return f.Store.StepsAt(ctx, deliveries) })
}

// Share is the store's, unless Hook says otherwise.
func (f *Faulty) Share(ctx context.Context, sweeper dag.SweeperInfo) ([]int, error) {
	return faulty(f, "Share", func() ([]int, error) { return f.Store.Share(ctx, sweeper) })
}

// Skip is the store's, unless Hook says otherwise.
func (f *Faulty) Skip(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return faulty(f, "Skip", func() (dag.Operated, error) { return f.Store.Skip(ctx, req) })
}

// Resolve is the store's, unless Hook says otherwise.
func (f *Faulty) Resolve(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return faulty(f, "Resolve", func() (dag.Operated, error) { return f.Store.Resolve(ctx, req) })
}

// Cancel is the store's, unless Hook says otherwise.
func (f *Faulty) Cancel(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return faulty(f, "Cancel", func() (dag.Operated, error) { return f.Store.Cancel(ctx, req) })
}

// Pause is the store's, unless Hook says otherwise.
func (f *Faulty) Pause(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return faulty(f, "Pause", func() (dag.Operated, error) { return f.Store.Pause(ctx, req) })
}

// Resume is the store's, unless Hook says otherwise.
func (f *Faulty) Resume(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return faulty(f, "Resume", func() (dag.Operated, error) { return f.Store.Resume(ctx, req) })
}
