package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/pkg/dag"
)

// putOff is for how long an entry stays away that this release cannot act on. Another release, or a person, may have mended it by then.
const putOff = time.Hour

// Due implements [engine.Agenda]: one round trip when nothing waits, three otherwise, and one more for what a roll-back of Redis left behind.
func (s *Store) Due(ctx context.Context, partition int, limits dag.DueLimits) (dag.Due, error) {
	at := place{partition: partition}
	r, err := s.run(ctx, s.call("due", at, nil, limits.Entries, limits.Doubts))
	if err != nil {
		return dag.Due{}, fmt.Errorf("due of partition %02x: %w", partition, err)
	}
	p, err := readDue(r, partition)
	if err == nil {
		err = s.lookUp(ctx, at, p)
	}
	if err == nil {
		err = s.tidy(ctx, at, p)
	}
	if err != nil {
		return dag.Due{}, fmt.Errorf("due of partition %02x: %w", partition, err)
	}
	return p.due, nil
}

// Waiting implements [engine.Agenda], in one round trip a server.
func (s *Store) Waiting(ctx context.Context) (partitions []int, clocks []time.Time, err error) {
	calls := make([]call, dag.Partitions)
	for p := range calls {
		calls[p] = s.call("due", place{partition: p}, nil, 1, 1)
	}
	replies, err := s.runAll(ctx, calls)
	if err != nil {
		return nil, nil, fmt.Errorf("ask all partitions what is due: %w", err)
	}
	for i, r := range replies {
		p, err := readDue(r, i)
		if err != nil {
			return nil, nil, fmt.Errorf("due of partition %02x: %w", i, err)
		}
		if len(p.entries)+len(p.due.Purges)+len(p.unreadable) > 0 {
			partitions = append(partitions, i)
		}
		clocks = append(clocks, p.due.Now)
	}
	return partitions, clocks, nil
}

// lookUp reads runs and steps of all entries in one round trip, and what their definitions say in another one.
func (s *Store) lookUp(ctx context.Context, at place, p *duePage) error {
	if len(p.entries) == 0 {
		return nil
	}
	_, _ = s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error { // the commands tell
		for i := range p.entries {
			s.lookAt(ctx, pipe, at, &p.entries[i])
		}
		return nil
	})
	var live []*entry
	for i := range p.entries {
		waits, err := p.sort(&p.entries[i])
		if err != nil {
			return err
		}
		if waits {
			live = append(live, &p.entries[i])
		}
	}
	if len(live) == 0 {
		return nil
	}
	_, _ = s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error { // the commands tell
		for _, e := range live {
			at.def = e.def
			field := "total"
			if e.Step != "" {
				field = "step:" + e.Step
			}
			e.frozenCmd = pipe.HMGet(ctx, s.keys.key("def", at), field)
		}
		return nil
	})
	for _, e := range live {
		if err := p.fill(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) lookAt(ctx context.Context, p redis.Pipeliner, at place, e *entry) {
	at.run = e.Run
	e.runCmd = p.HMGet(ctx, s.keys.key("run", at), "state", "def", "workflow", "trace_parent")
	if f := e.Step + ":"; e.Step != "" {
		e.stepCmd = p.HMGet(ctx, s.keys.key("steps", at),
			f+"state", f+"epoch", f+"due", f+"queued_at", f+"seen", f+"claim", f+"worker", f+"crashes", f+"lease", f+"leaving")
	}
}

// read reads what a command found about an entry; nil when the server refused it, as it does for a key of another type.
func (p *duePage) read(e *entry, from string, cmd *redis.SliceCmd) (*reply, error) {
	values, err := cmd.Result()
	if err = mapError(err); isAnswer(err) {
		p.refuse(e.member, err)
		return nil, nil //nolint:nilnil // noted as unreadable
	}
	return newReply(from, values), err
}

// sort reads where the run and the step of an entry stand, and tells whether that is what the entry waits for. Others are stale, strays or unreadable.
func (p *duePage) sort(e *entry) (waits bool, err error) {
	r, err := p.read(e, "run", e.runCmd)
	if r == nil || err != nil {
		return false, err
	}
	e.run, e.def, e.workflow, e.trace = dag.RunState(r.text()), r.text(), r.text(), r.text()
	if e.Step != "" {
		if e.fields, err = p.read(e, "steps", e.stepCmd); e.fields == nil || err != nil {
			return false, err
		}
		e.state, e.epoch = dag.StepState(e.fields.text()), e.fields.intOr0()
	}
	switch {
	case e.Step != "" && e.fields.err != nil:
		p.refuse(e.member, e.fields.err)
	case e.run != "" && e.def == "":
		p.refuse(e.member, fmt.Errorf("%w: the run names no definition", errScript))
	case e.kind == entryEnd && e.run == "": // to be dropped by expire
		p.due.Ends = append(p.due.Ends, e.Run)
	case e.kind == entryEnd:
		return true, nil
	case e.kind == entrySend && (e.run == "" || e.state != dag.StepQueued || e.epoch != e.Epoch):
		p.due.Stale = append(p.due.Stale, e.Delivery)
	case e.kind == entryClaim && (e.run == "" || e.state != dag.StepRunning),
		e.kind == entryDoubt && (e.run == "" || e.run == dag.RunPaused || e.state != dag.StepQueued && e.state != dag.StepRetrying):
		p.strays = append(p.strays, *e)
	default:
		return true, nil
	}
	return false, nil
}

// fill completes an entry that waits, with what the definition says of its step.
func (p *duePage) fill(e *entry) error {
	r, err := p.read(e, "def", e.frozenCmd)
	if r == nil || err != nil {
		return err
	}
	raw := r.text()
	if raw == "" {
		p.refuse(e.member, fmt.Errorf("%w: definition %s is not there, or lacks the step", errScript, e.def))
		return nil
	}
	if e.kind == entryEnd {
		p.due.Ends = append(p.due.Ends, e.Run)
		return nil
	}
	frozen, err := parseStep(raw, e.Step, e.def)
	if err == nil {
		err = e.enter(&p.due, &frozen)
	}
	if err != nil {
		p.refuse(e.member, err)
	}
	return nil
}

// enter adds the entry of a step to what is due.
func (e *entry) enter(due *dag.Due, frozen *frozenStep) error {
	r := e.fields
	at, queued, seen := r.timeOr0(), r.timeOr0(), r.timeOr0()
	claim := dag.DeadClaim{ClaimRef: dag.ClaimRef{Run: e.Run, Step: e.Step, Def: e.def, Nonce: r.text()}, Workflow: e.workflow, Epoch: e.epoch}
	claim.Worker, claim.Crashes, claim.Lease, claim.Leaving = r.text(), r.intOr0(), r.timeOr0(), r.text() != ""
	if r.err != nil {
		return r.err
	}
	delivery := dag.Delivery{Run: e.Run, Step: e.Step, Epoch: e.epoch}
	switch e.kind {
	case entrySend:
		due.Sends = append(due.Sends, dag.Send{Delivery: delivery, Def: e.def, Handler: frozen.Handler, Queue: frozen.Queue, TraceParent: e.trace})
	case entryClaim:
		due.Claims = append(due.Claims, claim)
	default:
		since := queued
		if e.state == dag.StepRetrying {
			since = at
		}
		due.Doubts = append(due.Doubts, dag.Doubt{
			Delivery: delivery, Def: e.def, Workflow: e.workflow, State: e.state, Queue: frozen.Queue, Since: since, Seen: seen,
		})
	}
	return nil
}

// tidy drops strays, by a script that looks again, and puts off what cannot be read.
func (s *Store) tidy(ctx context.Context, at place, p *duePage) error {
	var calls []call
	if len(p.strays) > 0 {
		var keys []string
		var args []any
		for i := range p.strays {
			at.run = p.strays[i].Run
			keys, args = append(keys, s.keys.key("run", at), s.keys.key("steps", at)), append(args, at.run, p.strays[i].Step)
		}
		calls = append(calls, s.call("drop_strays", at, keys, args...))
	}
	if len(p.unreadable) > 0 {
		args := []any{putOff.Milliseconds()}
		for _, member := range p.unreadable {
			args = append(args, member)
		}
		calls = append(calls, s.call("later", at, nil, args...))
	}
	if len(calls) == 0 {
		return nil
	}
	_, err := s.runAll(ctx, calls)
	return err
}
