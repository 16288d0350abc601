package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// view shows a performance while it goes on. run returns when done is closed.
type view interface {
	run(ctx context.Context, p *player, done <-chan struct{}) error
}

// quietAfter is how long the plain view stays silent before it says what is awaited.
const quietAfter = 3 * time.Second

// plainView prints a line for each thing that happens, for logs and pipes.
type plainView struct {
	out  io.Writer
	seen map[int]seenOrder
	last time.Time
}

// seenOrder is what has been printed of an order.
type seenOrder struct {
	placed, ended bool
	failures      int
	notes         int
}

func (v *plainView) run(_ context.Context, p *player, done <-chan struct{}) error {
	v.seen, v.last = map[int]seenOrder{}, p.now()
	ticker := time.NewTicker(runEvery)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			v.show(p)
			return nil
		case <-ticker.C:
			v.show(p)
		}
	}
}

func (v *plainView) show(p *player) {
	now := p.now()
	orders := p.snapshot()
	for i := range orders {
		if v.news(&orders[i]) {
			v.last = now
		}
	}
	if now.Sub(v.last) < quietAfter {
		return
	}
	v.last = now
	if waiting := awaitedBy(orders); waiting != "" {
		fmt.Fprintln(v.out, "    … waiting for "+waiting)
	}
}

// news prints what is new about an order.
func (v *plainView) news(o *order) bool {
	seen := v.seen[o.n]
	before := seen
	line := func(format string, args ...any) {
		fmt.Fprintf(v.out, "  %d %-16s %s\n", o.n, o.name, fmt.Sprintf(format, args...))
	}
	if !o.placed.IsZero() && !seen.placed {
		seen.placed = true
		line("%8s  placed: %s", o.amount, o.what)
	}
	failures := 0
	for _, s := range o.run.Steps {
		failures += s.Failures
		if s.Failures > 0 && failures > seen.failures && s.Error != nil && s.State == string(dag.StepRetrying) {
			line("          %s failed (%d of %d): %s", s.Name, s.Failures, s.MaxAttempts, s.Error.Message)
		}
	}
	seen.failures = failures
	for _, n := range o.notes[seen.notes:] {
		line("          %s", n)
	}
	seen.notes = len(o.notes)
	if !o.ended.IsZero() && !seen.ended {
		seen.ended = true
		line("%8s  %s", "", verdict(o))
	}
	v.seen[o.n] = seen
	return seen != before
}

// verdict is the last word on an order.
func verdict(o *order) string {
	if o.problem != "" {
		return "✗ NOT AS EXPECTED: " + o.problem
	}
	took := o.ended.Sub(o.placed).Round(100 * time.Millisecond)
	if o.failed == "" {
		return fmt.Sprintf("✓ %s after %s", o.run.State, took)
	}
	reason := ""
	if e := o.run.Step(o.failed).Error; e != nil {
		reason = ": " + e.Code
	}
	return fmt.Sprintf("✓ %s at %s, as expected, after %s%s", o.run.State, o.failed, took, reason)
}

// awaitedBy names what open orders wait for.
func awaitedBy(orders []order) string {
	var parts []string
	for i := range orders {
		if o := &orders[i]; o.ended.IsZero() && o.waiting != "" {
			parts = append(parts, o.name+" ("+o.waiting+")")
		}
	}
	return strings.Join(parts, ", ")
}
