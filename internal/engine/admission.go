package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	admitEvery = time.Second // between two looks at the store's memory
	fullAt     = 90          // percent of its limit; the rest is for the runs that are there already
)

// lookAtMemory is one look at how full the store is. From then on new runs are let in or refused. When the store cannot be asked the last verdict
// stands: a start meets the same store.
func (e *Engine) lookAtMemory(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	m, err := e.store.MemoryUse(ctx)
	if err != nil {
		return
	}
	full := m.Max > 0 && m.Used >= m.Max/100*fullAt
	switch was := e.full.Swap(full); {
	case full && !was:
		e.cfg.Log.WarnContext(ctx, "memory is nearly full, new runs are refused", "used", m.Used, "max", m.Max)
	case was && !full:
		e.cfg.Log.InfoContext(ctx, "there is memory again, new runs are accepted", "used", m.Used, "max", m.Max)
	}
}

// admit creates a run, unless the store was nearly full at the last look. A process without loops never looks: it is refused by the store itself
// when that has no memory left at all.
func (e *Engine) admit(ctx context.Context, run dag.NewRun) (dag.Created, error) {
	if e.full.Load() {
		return dag.Created{}, fmt.Errorf("%w: more than %d%% of its limit is used", ErrMemory, fullAt)
	}
	return e.store.CreateRun(ctx, run)
}
