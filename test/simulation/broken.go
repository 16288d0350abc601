package simulation

import (
	"context"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// broken is the store without the protection that is off.
func (w *world) broken(store engine.Store) engine.Store {
	switch w.off {
	case offFence:
		return fenceless{store, w}
	case offDoubts:
		return doubtless{store}
	}
	return store
}

// fenceless believes whoever completes a step to hold its claim.
type fenceless struct {
	engine.Store
	w *world
}

func (s fenceless) Complete(ctx context.Context, req dag.CompleteRequest) (dag.Settled, error) {
	if claim := s.w.store.Dump().Steps[req.Run][req.Step]["claim"]; claim != "" {
		req.Nonce = claim
	}
	return s.Store.Complete(ctx, req)
}

// Heartbeat never tells that a claim is lost: nothing that knows of claims is left.
func (s fenceless) Heartbeat(ctx context.Context, req dag.HeartbeatRequest) (dag.Beat, error) {
	beat, err := s.Store.Heartbeat(ctx, req)
	beat.Lost = false
	return beat, err
}

// doubtless never asks where a task has gone.
type doubtless struct{ engine.Store }

func (s doubtless) Due(ctx context.Context, partition int, limits dag.DueLimits) (dag.Due, error) {
	due, err := s.Store.Due(ctx, partition, limits)
	due.Doubts = nil
	return due, err
}
