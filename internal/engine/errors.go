package engine

import (
	"errors"
	"fmt"

	"github.com/stepwell/stepwell/pkg/dag"
)

// The errors of the engine and of its stores. Their texts are for people; HTTP maps them in one table.
var (
	// ErrNotFound says that there is no such run, step or workflow.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the present state does not allow it.
	ErrConflict = errors.New("conflict")
	// ErrUnavailable says that Redis could not be asked, or that its answer was lost. The call may be repeated.
	ErrUnavailable = errors.New("redis is not available")
	// ErrMemory says that Redis has no room for new runs. The call may be repeated later.
	ErrMemory = errors.New("redis has no memory left for new runs")
	// ErrMismatch is an [ErrConflict]: the idempotency key was used with another request body.
	ErrMismatch = fmt.Errorf("%w: the idempotency key was used for another request body", ErrConflict)
)

// StateError says which state did not allow an operator's request. It unwraps to [ErrConflict].
type StateError struct {
	Run     string
	State   dag.RunState
	Step    string        // "" for the run as a whole
	StepIs  dag.StepState // "" for the run as a whole
	Allowed string        // what would be allowed
}

func (e *StateError) Error() string {
	if e.Step != "" {
		return fmt.Sprintf("step %s of run %s is %s; %s", e.Step, e.Run, e.StepIs, e.Allowed)
	}
	return fmt.Sprintf("run %s is %s; %s", e.Run, e.State, e.Allowed)
}

func (e *StateError) Unwrap() error { return ErrConflict }
