package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/pkg/dag"
)

// restockUnits are what the out-of-stock scenario adds before the operator's retry.
const restockUnits = 10

// orderLimit bounds one scenario. The longest is the take-over: a claim of 20 s, a round of the sweeper, and the rest of the order.
const orderLimit = 60 * time.Second

// runEvery is how often the player looks at each open run.
const runEvery = 150 * time.Millisecond

// player plays scenarios on a stack and keeps what is to be shown of them.
type player struct {
	stack  *Stack
	client *Client
	shop   *checkout.Shop
	now    func() time.Time
	// prefix makes the idempotency keys of this performance its own.
	prefix string

	mu     sync.Mutex
	orders []*order
	victim *Worker // of the scenario that kills one
}

// order is a scenario as it is played. The player's mutex guards what changes.
type order struct {
	*scenario
	n         int // from 1, its place in the table
	run       Run
	placed    time.Time // zero until then
	ended     time.Time // zero until then
	waiting   string    // what is awaited
	notes     []string  // what was done besides, in order
	restocked []line    // units added to the shelves
	problem   string    // how the end differs from what is wanted
}

// snapshot copies the orders for a view.
func (p *player) snapshot() []order {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]order, len(p.orders))
	for i, o := range p.orders {
		out[i] = *o
		out[i].notes = slices.Clone(o.notes)
	}
	return out
}

// playAll plays every scenario: those that need a worker of their own come last and alone, the others at the same time.
func (p *player) playAll(ctx context.Context) error {
	var together, alone []*order
	for _, o := range p.orders {
		if o.alone {
			alone = append(alone, o)
		} else {
			together = append(together, o)
		}
	}
	errs := make(chan error, len(p.orders))
	for _, o := range together {
		go func() { errs <- p.play(ctx, o) }()
	}
	var first error
	for range together {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	for _, o := range alone {
		if first == nil {
			first = p.play(ctx, o)
		}
	}
	return first
}

// play places one order and sees it to its end. The error says that it could not be played, not that it ended otherwise than wanted.
func (p *player) play(ctx context.Context, o *order) error {
	ctx, cancel := context.WithTimeoutCause(ctx, orderLimit, fmt.Errorf("scenario %q took longer than %s", o.name, orderLimit))
	defer cancel()
	if o.alone {
		if err := p.startVictim(ctx, o); err != nil {
			return err
		}
	}
	id, err := p.client.PlaceOrder(ctx, p.prefix+"-"+o.name, o.body())
	if err != nil {
		return fmt.Errorf("scenario %q: place the order: %w", o.name, err)
	}
	p.change(func() { o.run.ID, o.placed = id, p.now() })
	if o.act != nil {
		if err := o.act(ctx, p, o); err != nil {
			return fmt.Errorf("scenario %q: %w", o.name, err)
		}
	}
	if err := p.await(ctx, o, "", runEnded); err != nil {
		return fmt.Errorf("scenario %q: %w", o.name, err)
	}
	dead, err := p.client.DeadLetters(ctx)
	if err != nil {
		return fmt.Errorf("scenario %q: %w", o.name, err)
	}
	p.change(func() {
		o.ended, o.waiting = p.now(), ""
		o.problem = o.differs(&o.run, dead)
	})
	return nil
}

func (p *player) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *player) note(o *order, format string, args ...any) {
	p.change(func() { o.notes = append(o.notes, fmt.Sprintf(format, args...)) })
}

// await looks at the order's run until the condition holds. what tells a person what is awaited; "" tells it from the run.
func (p *player) await(ctx context.Context, o *order, what string, holds func(*Run) bool) error {
	ticker := time.NewTicker(runEvery)
	defer ticker.Stop()
	for {
		run, err := p.client.Run(ctx, o.run.ID)
		if err == nil {
			p.change(func() { o.run, o.waiting = run, cmp.Or(what, awaited(&run)) })
			if holds(&run) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

func runEnded(r *Run) bool { return dag.RunState(r.State).Ended() }

// awaited says in a few words what an open run waits for.
func awaited(r *Run) string {
	for _, s := range r.Steps {
		switch dag.StepState(s.State) {
		case dag.StepRetrying:
			return fmt.Sprintf("%s: next attempt after %d of %d", s.Name, s.Failures, s.MaxAttempts)
		case dag.StepQueued, dag.StepRunning, dag.StepWaiting:
			return fmt.Sprintf("%s, %s", s.Name, s.State)
		case dag.StepPending, dag.StepSucceeded, dag.StepFailed, dag.StepSkipped, dag.StepCancelled:
		}
	}
	return ""
}

// restockAndRetry is what the shop's operator does about an order that failed for want of stock.
func restockAndRetry(ctx context.Context, p *player, o *order) error {
	if err := p.await(ctx, o, "", runEnded); err != nil {
		return err
	}
	validated := o.run.Step(stepValidate)
	if validated.State != string(dag.StepFailed) || validated.Attempts != validated.MaxAttempts {
		return fmt.Errorf("%s is %s after %d attempts, should have failed after %d", stepValidate, validated.State, validated.Attempts, validated.MaxAttempts)
	}
	p.note(o, "%s failed after %d attempts", stepValidate, validated.Attempts)
	product := o.cart[0].product
	if err := p.shop.Restock(ctx, product, restockUnits); err != nil {
		return err
	}
	p.change(func() { o.restocked = append(o.restocked, line{product, restockUnits}) })
	p.note(o, "restocked product %d by %d", product, restockUnits)
	if err := p.client.RetryOrder(ctx, o.run.ID, "restocked"); err != nil {
		return err
	}
	p.note(o, "operator retried the order")
	return nil
}

// startVictim leaves one worker alone, so that it is the one which gets the order.
func (p *player) startVictim(ctx context.Context, o *order) error {
	p.change(func() { o.waiting = "the other workers to drain and stop" })
	if err := p.stack.StopWorkers(); err != nil {
		return err
	}
	victim, err := p.stack.StartWorker(ctx)
	p.change(func() { p.victim = victim })
	return err
}

// killDuringCharge kills the order's worker while the gateway is busy with its charge, and lets the charge through afterwards.
func killDuringCharge(ctx context.Context, p *player, o *order) error {
	key := dag.EffectKey(o.run.ID, stepPayment, 0)
	held := func(*Run) bool {
		is, err := p.client.Held(ctx, key)
		return err == nil && is
	}
	if err := p.await(ctx, o, "the gateway to hold the charge", held); err != nil {
		return err
	}
	if err := p.victim.Kill(); err != nil {
		return err
	}
	p.note(o, "kill -9 of %s (pid %d) during the charge", p.victim.Name, p.victim.PID)
	if err := p.client.Release(ctx); err != nil {
		return err
	}
	p.note(o, "the gateway made the charge; nobody is left to hear of it")
	for range 2 {
		if _, err := p.stack.StartWorker(ctx); err != nil {
			return err
		}
	}
	takenOver := func(r *Run) bool { return r.Step(stepPayment).Attempts > 1 || runEnded(r) }
	if err := p.await(ctx, o, "the dead worker's claim to run out (20 s after its last heartbeat)", takenOver); err != nil {
		return err
	}
	p.note(o, "taken over; the new attempt asks the gateway for the charge first")
	return nil
}
