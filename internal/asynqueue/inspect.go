package asynqueue

import (
	"context"
	"errors"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// Inspect implements [engine.Queue].
func (q *Queue) Inspect(context.Context, string, dag.Delivery) (engine.TaskInfo, error) {
	return engine.TaskInfo{}, errors.ErrUnsupported
}

// Adopt implements [engine.Queue].
func (q *Queue) Adopt(context.Context, string) error { return errors.ErrUnsupported }

// Archived implements [engine.Queue].
func (q *Queue) Archived(context.Context, string, int) ([]dag.Delivery, bool, error) {
	return nil, false, errors.ErrUnsupported
}
