package engine

import "context"

// LookAtMemory is one look at how full the store is, as Run makes it each second.
func (e *Engine) LookAtMemory(ctx context.Context) { e.lookAtMemory(ctx) }
