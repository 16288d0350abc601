package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Handler runs one attempt of a step and returns its output as JSON. [Handle] makes one from a typed function.
type Handler func(ctx context.Context, s *Step) (json.RawMessage, error)

// Registry holds the handlers of a worker by name. It is safe for concurrent use.
type Registry struct {
	mu       sync.RWMutex
	handlers map[string]Handler
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry { return &Registry{handlers: map[string]Handler{}} }

// Add registers a handler. It panics when the name is not a handler's name or is taken: both are mistakes of the program, found at its start.
func (r *Registry) Add(name string, h Handler) {
	if err := dag.CheckHandler(name); err != nil {
		panic(fmt.Sprintf("register handler: %v", err))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.handlers[name]; taken {
		panic(fmt.Sprintf("register handler: %q is registered already", name))
	}
	r.handlers[name] = h
}

// Handler looks a handler up by its exact name.
func (r *Registry) Handler(name string) (Handler, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	h, ok := r.handlers[name]
	return h, ok
}

// Names returns the names of all handlers, sorted.
func (r *Registry) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	names := make([]string, 0, len(r.handlers))
	for name := range r.handlers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Handle registers a typed function; its result, as JSON, is the step's output. It panics as [Registry.Add] does.
//
// A result that cannot be written as JSON fails the step with [dag.CodeInvalidOutput]. Because the effect has happened by then, shape results
// from types that always can be.
func Handle[T any](r *Registry, name string, fn func(ctx context.Context, s *Step) (T, error)) {
	r.Add(name, func(ctx context.Context, s *Step) (json.RawMessage, error) {
		out, err := fn(ctx, s)
		if err != nil {
			return nil, err
		}
		raw, err := json.Marshal(out)
		if err != nil {
			return nil, Permanent(dag.CodeInvalidOutput, fmt.Errorf("write the result of %s as JSON: %w", name, err))
		}
		return raw, nil
	})
}
