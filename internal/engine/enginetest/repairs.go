package enginetest

import (
	"context"
	"errors"

	"github.com/stepwell/stepwell/pkg/dag"
)

func (*Memory) LookAgain(_ context.Context, _ []dag.Look) error {
	return errors.ErrUnsupported
}

func (*Memory) Bury(_ context.Context, _ dag.BuryRequest) (dag.Settled, error) {
	return dag.Settled{}, errors.ErrUnsupported
}

func (*Memory) Purge(_ context.Context, _ []string) (int, error) {
	return 0, errors.ErrUnsupported
}

func (*Memory) Audit(_ context.Context, _ int, _ string, _ int) (dag.AuditPage, error) {
	return dag.AuditPage{}, errors.ErrUnsupported
}

func (*Memory) StepsAt(_ context.Context, _ []dag.Delivery) ([]dag.StepAt, error) {
	return nil, errors.ErrUnsupported
}

func (*Memory) Share(_ context.Context, _ dag.SweeperInfo) ([]int, error) {
	return nil, errors.ErrUnsupported
}

func (*Memory) Skip(_ context.Context, _ dag.OperatorRequest) (dag.Operated, error) {
	return dag.Operated{}, errors.ErrUnsupported
}

func (*Memory) Resolve(_ context.Context, _ dag.OperatorRequest) (dag.Operated, error) {
	return dag.Operated{}, errors.ErrUnsupported
}

func (*Memory) Cancel(_ context.Context, _ dag.OperatorRequest) (dag.Operated, error) {
	return dag.Operated{}, errors.ErrUnsupported
}

func (*Memory) Pause(_ context.Context, _ dag.OperatorRequest) (dag.Operated, error) {
	return dag.Operated{}, errors.ErrUnsupported
}

func (*Memory) Resume(_ context.Context, _ dag.OperatorRequest) (dag.Operated, error) {
	return dag.Operated{}, errors.ErrUnsupported
}
