package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/stepwell/stepwell/pkg/dag"
)

// CodeInvalidInput is the code of a step whose input, configuration or ancestor's output is not of the form that its handler expects.
const CodeInvalidInput = "INVALID_INPUT"

// ErrNoOutput says that a step is no settled ancestor of this one, or was skipped and left no output.
var ErrNoOutput = errors.New("no output")

// Step is one attempt of a step, as its handler sees it. It is safe for concurrent use.
type Step struct {
	claim dag.Claim
	fetch func(ctx context.Context, step string) (json.RawMessage, error)
	log   *slog.Logger
}

// NewStep returns the handler's view of a claim. fetch reads the output of an ancestor that is no parent and returns an error that wraps
// [ErrNoOutput] when there is none; nil means that there are no such ancestors. A nil log discards. The engine's worker calls it, and
// tests of handlers do.
func NewStep(claim dag.Claim, fetch func(ctx context.Context, step string) (json.RawMessage, error), log *slog.Logger) *Step {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Step{claim: claim, fetch: fetch, log: log}
}

// Run is the run's ID.
func (s *Step) Run() string { return s.claim.Run }

// Name is the step's name.
func (s *Step) Name() string { return s.claim.Step }

// Workflow is the run's workflow, namespace/name.
func (s *Step) Workflow() string { return s.claim.Workflow }

// Attempt is the number of this attempt, from 1. Crashed attempts count: on an attempt > 1 the effect of an earlier one may exist.
func (s *Step) Attempt() int { return s.claim.Attempts }

// EffectKey is the idempotency key for the step's effect, the same over all its attempts. See the package comment.
func (s *Step) EffectKey() string {
	return dag.EffectKey(s.claim.Run, s.claim.Step, s.claim.KeyGeneration)
}

// Labels are the run's labels. The map must not be changed.
func (s *Step) Labels() map[string]string { return s.claim.Labels }

// CorrelationID is the ID that the caller gave to the run, or "".
func (s *Step) CorrelationID() string { return s.claim.CorrelationID }

// Log is a logger that carries run, step, attempt, workflow and correlation_id.
func (s *Step) Log() *slog.Logger { return s.log }

// Config reads the step's config into v. A step without config leaves v as it is. An error is permanent.
func (s *Step) Config(v any) error {
	if len(s.claim.Config) == 0 {
		return nil
	}
	return decode(s.claim.Config, v, "config of step "+s.claim.Step)
}

// Input reads the run's input. An error is permanent: the same input will not fit next time either.
func Input[T any](s *Step) (T, error) {
	var v T
	return v, decode(s.claim.Input, &v, "input of the run")
}

// Output reads the output of an ancestor of this step; that of a parent is at hand, that of another is fetched. A step that is no settled
// ancestor, or was skipped, gives an error that wraps [ErrNoOutput].
func Output[T any](ctx context.Context, s *Step, step string) (T, error) {
	var v T
	raw, ok := s.claim.Outputs[step]
	if !ok {
		if s.fetch == nil {
			return v, fmt.Errorf("output of step %s: %w", step, ErrNoOutput)
		}
		var err error
		if raw, err = s.fetch(ctx, step); err != nil {
			return v, fmt.Errorf("output of step %s: %w", step, err)
		}
	}
	return v, decode(raw, &v, "output of step "+step)
}

func decode(raw json.RawMessage, v any, what string) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return Permanent(CodeInvalidInput, fmt.Errorf("read the %s: %w", what, err))
	}
	return nil
}
