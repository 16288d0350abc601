package asynqueue

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// aloneWait is how long a step waits to be alone in its process, and how long others wait for one that is.
const aloneWait = 30 * time.Second

// gate is a read-write lock whose waits end: every handler holds the read side, a step that must run alone the write side. A waiting writer
// holds new readers up.
type gate struct {
	sem     *semaphore.Weighted
	waiting atomic.Bool // a step waits to be alone; one at a time
}

const gateAll = 1 << 30 // more than there can be handlers

func newGate() *gate { return &gate{sem: semaphore.NewWeighted(gateAll)} }

// enter takes the read side; false when that took too long or ctx ended.
func (g *gate) enter(ctx context.Context) bool { return g.acquire(ctx, 1) }

func (g *gate) leave() { g.sem.Release(1) }

// enterAlone takes the write side; false when another waits for it already, when that took too long, or ctx ended.
func (g *gate) enterAlone(ctx context.Context) bool {
	if !g.waiting.CompareAndSwap(false, true) {
		return false
	}
	defer g.waiting.Store(false)
	return g.acquire(ctx, gateAll)
}

func (g *gate) leaveAlone() { g.sem.Release(gateAll) }

func (g *gate) acquire(ctx context.Context, n int64) bool {
	if g.sem.TryAcquire(n) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, aloneWait)
	defer cancel()
	return g.sem.Acquire(ctx, n) == nil
}
