package asynqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	startTimeout    = 30 * time.Second // for one try of a start task
	startAgain      = 5 * time.Second  // after Redis was away
	startNoMemory   = 30 * time.Second // after Redis had no memory for new runs
	startRefusal    = "start refused: "
	startNotStarted = "run not started yet: "
)

// startRun carries out a start task: the body of POST /v1/runs with an idempotency key, so that a task that is delivered twice starts one run.
// What cannot succeed goes to the archive, where asynqmon shows why; what Redis could not do now is tried again without end.
func (w *Worker) startRun(ctx context.Context, payload []byte, traceParent string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	started, err := w.start(ctx, payload, traceParent)
	switch {
	case err == nil:
		for _, warning := range started.Warnings {
			w.opts.Log.WarnContext(ctx, "run started by a task", "run", started.Run.ID, "warning", warning)
		}
		return nil
	case errors.Is(err, dag.ErrInvalid), errors.Is(err, engine.ErrNotFound), errors.Is(err, engine.ErrConflict):
		w.opts.Log.WarnContext(ctx, "start task refused", "err", err)
		return &verdictError{order: Order{Act: Archive}, text: "stepwell: " + clip(startRefusal+err.Error(), dag.MaxErrorBytes)}
	case errors.Is(err, engine.ErrMemory):
		return &verdictError{order: Order{Act: Later, Delay: startNoMemory}, text: "stepwell: " + startNotStarted + err.Error()}
	}
	return &verdictError{order: Order{Act: Later, Delay: startAgain}, text: "stepwell: " + startNotStarted + err.Error()}
}

func (w *Worker) start(ctx context.Context, payload []byte, traceParent string) (engine.Started, error) {
	req, err := engine.DecodeStart(payload)
	if err != nil {
		return engine.Started{}, err
	}
	if req.Key == "" {
		return engine.Started{}, &dag.FieldError{Path: "idempotency_key", Message: "it is required in a start task, because a task may be delivered twice"}
	}
	req.TraceParent = traceParent
	started, err := w.engine.Start(ctx, req)
	if err != nil {
		return engine.Started{}, fmt.Errorf("start with key %q: %w", req.Key, err)
	}
	return started, nil
}
