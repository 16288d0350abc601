package engine

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	// flushEvery is how long an accepted delivery waits to be reported as handed over, together with others. It stays below the second
	// after which the sweeper would hand over again what is not reported.
	flushEvery = 250 * time.Millisecond
	// handOverTimeout bounds one hand-over, however many deliveries it has: a second after the change the sweeper comes anyway.
	handOverTimeout = 5 * time.Second
	// enqueueWidth bounds the concurrent calls of the queue for one fan-out.
	enqueueWidth = 16
)

// handOver gives deliveries to the queue. It never fails: what the queue refuses stays in the agenda for the sweeper. The report of what it
// accepted is coalesced, and left out where this process has begun the step meanwhile (begin drops the entry itself).
func (e *Engine) handOver(ctx context.Context, sends []dag.Send) {
	if len(sends) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	if len(sends) == 1 {
		_ = e.enqueue(ctx, sends[0], false) // told to the log and the hooks
		return
	}
	var g errgroup.Group
	g.SetLimit(enqueueWidth)
	for _, s := range sends {
		g.Go(func() error {
			_ = e.enqueue(ctx, s, false) // told to the log and the hooks
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
}

// handOverBeside is handOver beside its caller: a worker is free for its next step while the queue takes the children of the last one.
// [Engine.Quiesce] waits for it.
func (e *Engine) handOverBeside(ctx context.Context, sends []dag.Send) {
	if len(sends) > 0 {
		e.handing.Go(func() { e.handOver(context.WithoutCancel(ctx), sends) })
	}
}

// Quiesce waits for the hand-overs that outcomes of steps have begun, 5 s at most. Call it when no step is settled any more. What a process
// does not wait for, a sweeper hands over.
func (e *Engine) Quiesce() { e.handing.Wait() }

// enqueue gives one delivery to the queue and remembers to report it.
func (e *Engine) enqueue(ctx context.Context, s dag.Send, swept bool) error {
	e.handed.add(s.Delivery) // before the queue has it: a worker may begin it before Enqueue returns
	if err := e.queue.Enqueue(ctx, s); err != nil {
		e.handed.drop(s.Delivery)
		e.cfg.Log.WarnContext(ctx, "enqueue refused; the sweeper tries again", "run", s.Run, "step", s.Step, "queue", s.Queue, "err", err)
		if h := e.cfg.Hooks.EnqueueFailed; h != nil {
			h(s, err)
		}
		return err
	}
	e.handed.confirm(s.Delivery)
	if h := e.cfg.Hooks.HandedOver; h != nil {
		h(s, swept)
	}
	return nil
}

// flushHandedOver reports what the queue accepted since the last flush. A failed report is not repeated: the sweeper meets the entry, enqueues
// again, learns that the queue has it, and reports that.
func (e *Engine) flushHandedOver(ctx context.Context, last bool) {
	deliveries := e.handed.take(last)
	if len(deliveries) == 0 {
		return
	}
	if err := e.store.HandedOver(ctx, deliveries); err != nil {
		e.cfg.Log.DebugContext(ctx, "hand-over not reported", "deliveries", len(deliveries), "err", err)
	}
}

// age is how far a delivery in the buffer is. It is reported at the second flush after the queue accepted it: most are begun long before, and
// what this process begins needs no report.
type age int

const (
	sent     age = iota // the queue has not answered yet
	accepted            // since the last flush
	ripe                // accepted before the last flush
)

// handedBuffer collects deliveries that the queue accepted. It is off until a loop flushes it, so that a process without loops keeps nothing.
type handedBuffer struct {
	mu      sync.Mutex
	on      bool
	entries map[dag.Delivery]age
}

func (b *handedBuffer) enable(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.on = on
	b.entries = map[dag.Delivery]age{}
}

func (b *handedBuffer) add(d dag.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.on {
		b.entries[d] = sent
	}
}

func (b *handedBuffer) confirm(d dag.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, still := b.entries[d]; still {
		b.entries[d] = accepted
	}
}

func (b *handedBuffer) drop(d dag.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.entries, d)
}

// take removes what is ripe, or with last everything that was accepted.
func (b *handedBuffer) take(last bool) []dag.Delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []dag.Delivery
	for d, a := range b.entries {
		switch {
		case a == ripe, a == accepted && last:
			out = append(out, d)
			delete(b.entries, d)
		case a == accepted:
			b.entries[d] = ripe
		}
	}
	return out
}
