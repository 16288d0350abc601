package stepwell

import (
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// What the errors of this package wrap; test them with errors.Is.
var (
	// ErrInvalid says that an argument, a definition or an input is wrong. The text names everything that is and how to mend it.
	ErrInvalid = dag.ErrInvalid
	// ErrNotFound says that there is no such run, step or workflow.
	ErrNotFound = engine.ErrNotFound
	// ErrConflict says that the present state does not allow it: a key that was used for another request, a version that has another
	// definition, a verb that the run's state does not allow; the text then names the state and those that do.
	ErrConflict = engine.ErrConflict
	// ErrUnavailable says that Redis could not be asked or its answer was lost. The call may be repeated; a Start with its key.
	ErrUnavailable = engine.ErrUnavailable
	// ErrMemory says that Redis has no room for new runs. The call may be repeated later.
	ErrMemory = engine.ErrMemory
)
