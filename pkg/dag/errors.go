package dag

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid is what every refusal of a definition, a name or a value wraps. Its text says what, where and how to mend it.
var ErrInvalid = errors.New("invalid")

// CycleError says that steps depend on each other in a circle. It unwraps to [ErrInvalid].
type CycleError struct {
	// Path is the circle in the order of execution; its first and last step are the same.
	Path []string
}

func (e *CycleError) Error() string {
	return "steps depend on each other in a circle: " + strings.Join(e.Path, " → ") + "; remove one of these dependencies"
}

func (e *CycleError) Unwrap() error { return ErrInvalid }

// FieldError is one thing that is wrong with a workflow. It unwraps to [ErrInvalid].
type FieldError struct {
	// Path leads to the value, with the names of steps and profiles instead of indexes where there are any: steps[2].name,
	// steps.charge.timeout, profiles.express.steps.charge.
	Path string
	// Message says what is wrong and how to mend it.
	Message string
}

func (e *FieldError) Error() string { return e.Path + ": " + e.Message }

func (e *FieldError) Unwrap() error { return ErrInvalid }

// InputError lists everything that is wrong with a run's input. It unwraps to [ErrInvalid].
type InputError struct {
	Violations []Violation
}

// Violation is one thing that is wrong with a run's input.
type Violation struct {
	Pointer string // JSON pointer (RFC 6901) to the value, "" for the whole
	Message string // what is wrong and what would be right
}

func (e *InputError) Error() string {
	lines := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		lines[i] = fmt.Sprintf("%q: %s", v.Pointer, v.Message)
	}
	return "input does not satisfy the workflow's schema: " + strings.Join(lines, "; ")
}

func (e *InputError) Unwrap() error { return ErrInvalid }
