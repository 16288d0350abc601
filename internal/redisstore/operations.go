package redisstore

import (
	"context"
	"fmt"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Retry implements [engine.Operations].
func (s *Store) Retry(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return s.operateStep(ctx, "retry", &req)
}

// Skip implements [engine.Operations].
func (s *Store) Skip(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return s.operateStep(ctx, "skip", &req)
}

// Resolve implements [engine.Operations].
func (s *Store) Resolve(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return s.operateStep(ctx, "resolve", &req, string(req.Output), dag.MaxRunBytes)
}

// Cancel implements [engine.Operations].
func (s *Store) Cancel(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return s.operateRun(ctx, "cancel", &req)
}

// Pause implements [engine.Operations].
func (s *Store) Pause(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return s.operateRun(ctx, "pause", &req)
}

// Resume implements [engine.Operations].
func (s *Store) Resume(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	return s.operateRun(ctx, "resume", &req)
}

// operateStep calls a verb about steps.
func (s *Store) operateStep(ctx context.Context, verb string, req *dag.OperatorRequest, more ...any) (dag.Operated, error) {
	return s.operate(ctx, verb, req, append([]any{req.Run, req.Step, req.Nonce, req.Actor, req.Reason}, more...))
}

// operateRun calls a verb about a run as a whole.
func (s *Store) operateRun(ctx context.Context, verb string, req *dag.OperatorRequest) (dag.Operated, error) {
	return s.operate(ctx, verb, req, []any{req.Run, req.Nonce, req.Actor, req.Reason})
}

func (s *Store) operate(ctx context.Context, verb string, req *dag.OperatorRequest, args []any) (dag.Operated, error) {
	at, _, err := s.placeOfRun(ctx, req.Run)
	if err != nil {
		return dag.Operated{}, fmt.Errorf("%s run %s: %w", verb, req.Run, err)
	}
	r, err := s.run(ctx, s.call(verb, at, nil, args...))
	if err != nil {
		return dag.Operated{}, fmt.Errorf("%s run %s: %w", verb, req.Run, err)
	}
	return r.operated(req.Run, at.def)
}
