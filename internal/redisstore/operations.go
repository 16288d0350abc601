package redisstore

import (
	"context"
	"fmt"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Retry implements [engine.Operations].
func (s *Store) Retry(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	at, _, err := s.placeOfRun(ctx, req.Run)
	if err != nil {
		return dag.Operated{}, fmt.Errorf("retry run %s: %w", req.Run, err)
	}
	r, err := s.run(ctx, s.call("retry", at, nil, req.Run, req.Step, req.Nonce, req.Actor, req.Reason))
	if err != nil {
		return dag.Operated{}, fmt.Errorf("retry run %s: %w", req.Run, err)
	}
	retried := dag.Operated{
		Reply: word(r, dag.ReplyOK, dag.ReplyAlready, dag.ReplyConflict, dag.ReplyNoRun),
		Run:   dag.RunState(r.text()), Step: dag.StepState(r.text()),
	}
	traceParent := r.text()
	retried.Sends = r.sends(req.Run, at.def, traceParent)
	r.each(func(e *reply) {
		retried.Stale = append(retried.Stale, dag.Delivery{Run: req.Run, Step: e.text(), Epoch: e.int()})
	})
	return retried, r.err
}
