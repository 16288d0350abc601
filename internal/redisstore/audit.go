package redisstore

import (
	"context"
	"errors"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Audit implements [engine.Repairs].
func (*Store) Audit(_ context.Context, _ int, _ string, _ int) (dag.AuditPage, error) {
	return dag.AuditPage{}, errors.ErrUnsupported
}
