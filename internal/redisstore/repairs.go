package redisstore

import (
	"context"
	"errors"

	"github.com/stepwell/stepwell/pkg/dag"
)

func (*Store) LookAgain(_ context.Context, _ []dag.Look) error {
	return errors.ErrUnsupported
}

func (*Store) Bury(_ context.Context, _ dag.BuryRequest) (dag.Settled, error) {
	return dag.Settled{}, errors.ErrUnsupported
}

func (*Store) Purge(_ context.Context, _ []string) (int, error) {
	return 0, errors.ErrUnsupported
}

func (*Store) Audit(_ context.Context, _ int, _ string, _ int) (dag.AuditPage, error) {
	return dag.AuditPage{}, errors.ErrUnsupported
}

func (*Store) StepsAt(_ context.Context, _ []dag.Delivery) ([]dag.StepAt, error) {
	return nil, errors.ErrUnsupported
}

func (*Store) Share(_ context.Context, _ dag.SweeperInfo) ([]int, error) {
	return nil, errors.ErrUnsupported
}

func (*Store) Skip(_ context.Context, _ dag.OperatorRequest) (dag.Operated, error) {
	return dag.Operated{}, errors.ErrUnsupported
}

func (*Store) Resolve(_ context.Context, _ dag.OperatorRequest) (dag.Operated, error) {
	return dag.Operated{}, errors.ErrUnsupported
}

func (*Store) Cancel(_ context.Context, _ dag.OperatorRequest) (dag.Operated, error) {
	return dag.Operated{}, errors.ErrUnsupported
}

func (*Store) Pause(_ context.Context, _ dag.OperatorRequest) (dag.Operated, error) {
	return dag.Operated{}, errors.ErrUnsupported
}

func (*Store) Resume(_ context.Context, _ dag.OperatorRequest) (dag.Operated, error) {
	return dag.Operated{}, errors.ErrUnsupported
}
