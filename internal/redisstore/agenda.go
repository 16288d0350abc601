package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/pkg/dag"
)

// handedOverChunk bounds the deliveries of one call of handed_over, so that no call holds Redis up.
const handedOverChunk = 100

// Due implements [engine.Agenda]: one round trip when nothing waits, up to three otherwise.
func (s *Store) Due(ctx context.Context, partition int, limits dag.DueLimits) (dag.Due, error) {
	at := place{partition: partition}
	r, err := s.run(ctx, s.call("due", at, nil, limits.Entries))
	if err != nil {
		return dag.Due{}, fmt.Errorf("due of partition %02x: %w", partition, err)
	}
	due, sends, claims, err := readDue(r)
	if err == nil {
		err = s.fillDue(ctx, at, &due, sends, claims)
	}
	if err != nil {
		return dag.Due{}, fmt.Errorf("due of partition %02x: %w", partition, err)
	}
	return due, nil
}

// Waiting implements [engine.Agenda], in one round trip a server.
func (s *Store) Waiting(ctx context.Context) (partitions []int, clocks []time.Time, err error) {
	calls := make([]call, dag.Partitions)
	for p := range calls {
		calls[p] = s.call("due", place{partition: p}, nil, 1)
	}
	replies, err := s.runAll(ctx, calls)
	if err != nil {
		return nil, nil, fmt.Errorf("ask all partitions what is due: %w", err)
	}
	for p, r := range replies {
		due, sends, claims, err := readDue(r)
		if err != nil {
			return nil, nil, fmt.Errorf("due of partition %02x: %w", p, err)
		}
		if len(due.Ends)+len(sends)+len(claims) > 0 {
			partitions = append(partitions, p)
		}
		clocks = append(clocks, due.Now)
	}
	return partitions, clocks, nil
}

// readDue reads the reply of due: sends and claims have yet to be looked up.
func readDue(r *reply) (due dag.Due, sends []dag.Delivery, claims []dag.ClaimRef, err error) {
	word(r, dag.ReplyOK)
	due.Now, due.Lag = r.time(), r.duration()
	entries, members := r.list(), r.list()
	for len(entries.values) > 0 && entries.err == nil {
		e, err := parseAgenda(entries.text())
		switch {
		case err != nil:
			return due, nil, nil, err
		case e.end != "":
			due.Ends = append(due.Ends, e.end)
		default:
			sends = append(sends, e.delivery)
		}
	}
	for len(members.values) > 0 && members.err == nil {
		run, step, err := parseMember(members.text())
		if err != nil {
			return due, nil, nil, err
		}
		claims = append(claims, dag.ClaimRef{Run: run, Step: step})
	}
	return due, sends, claims, errors.Join(r.err, entries.err, members.err)
}

// look is a pending look at a step and its run.
type look struct{ step, run *redis.SliceCmd }

func (s *Store) lookAt(ctx context.Context, p redis.Pipeliner, at place, run, step string) look {
	at.run = run
	f := step + ":"
	return look{
		step: p.HMGet(ctx, s.keys.key("steps", at), f+"state", f+"epoch", f+"claim", f+"worker", f+"crashes", f+"lease", f+"leaving"),
		run:  p.HMGet(ctx, s.keys.key("run", at), "def", "trace_parent", "workflow"),
	}
}

// fillDue looks the steps of entries up, sorts the sends into those that are still waited for and stale ones, and drops claims that nobody holds.
func (s *Store) fillDue(ctx context.Context, at place, due *dag.Due, sends []dag.Delivery, claims []dag.ClaimRef) error {
	if len(sends)+len(claims) == 0 {
		return nil
	}
	looks := make([]look, 0, len(sends)+len(claims))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, d := range sends {
			looks = append(looks, s.lookAt(ctx, p, at, d.Run, d.Step))
		}
		for _, c := range claims {
			looks = append(looks, s.lookAt(ctx, p, at, c.Run, c.Step))
		}
		return nil
	})
	if err != nil {
		return s.explain(ctx, err, []string{s.keys.key("agenda", at)})
	}
	for i, d := range sends {
		step, run := newReply("steps", looks[i].step.Val()), newReply("run", looks[i].run.Val())
		state, epoch := dag.StepState(step.text()), step.text()
		if def := run.text(); def == "" || state != dag.StepQueued || sendMember(d) != "send:"+stepMember(d.Run, d.Step)+":"+epoch {
			due.Stale = append(due.Stale, d)
		} else {
			due.Sends = append(due.Sends, dag.Send{Delivery: d, Def: def, TraceParent: run.text()})
		}
	}
	if err := s.fillSends(ctx, at, due.Sends); err != nil {
		return err
	}
	return s.fillClaims(ctx, at, due, claims, looks[len(sends):])
}

// fillSends reads handlers and queues from the definitions.
func (s *Store) fillSends(ctx context.Context, at place, sends []dag.Send) error {
	if len(sends) == 0 {
		return nil
	}
	cmds := make([]*redis.StringCmd, len(sends))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range sends {
			at.def = sends[i].Def
			cmds[i] = p.HGet(ctx, s.keys.key("def", at), "step:"+sends[i].Step)
		}
		return nil
	})
	if err != nil {
		return s.explain(ctx, err, []string{s.keys.key("def", at)})
	}
	for i := range sends {
		frozen, err := parseStep(cmds[i].Val(), sends[i].Step, sends[i].Def)
		if err != nil {
			return err
		}
		sends[i].Handler, sends[i].Queue = frozen.Handler, frozen.Queue
	}
	return nil
}

// fillClaims completes the claims that ran out. Entries whose step is not running are removed, by a script that looks again.
func (s *Store) fillClaims(ctx context.Context, at place, due *dag.Due, claims []dag.ClaimRef, looks []look) error {
	var left []string
	var ids []any
	for i, c := range claims {
		step, run := newReply("steps", looks[i].step.Val()), newReply("run", looks[i].run.Val())
		c.Def = run.text()
		run.text() // a trace parent is of no use here
		workflow := run.text()
		if dag.StepState(step.text()) != dag.StepRunning || c.Def == "" {
			at.run = c.Run
			left, ids = append(left, s.keys.key("steps", at)), append(ids, c.Run, c.Step)
			continue
		}
		dead := dag.DeadClaim{ClaimRef: c, Workflow: workflow, Epoch: step.int()}
		dead.Nonce, dead.Worker = step.text(), step.text()
		dead.Crashes, dead.Lease, dead.Leaving = step.intOr0(), step.time(), step.text() != ""
		if step.err != nil {
			return fmt.Errorf("step %s of run %s: %w", c.Step, c.Run, step.err)
		}
		due.Claims = append(due.Claims, dead)
	}
	if len(left) == 0 {
		return nil
	}
	_, err := s.run(ctx, s.call("drop_claims", at, left, ids...))
	return err
}

// HandedOver implements [engine.Agenda], in one round trip.
func (s *Store) HandedOver(ctx context.Context, deliveries []dag.Delivery) error {
	byPartition := map[int][]dag.Delivery{}
	for _, d := range deliveries {
		at, err := placeOf(d.Run, "")
		if err != nil {
			return fmt.Errorf("handed over: %w", err)
		}
		byPartition[at.partition] = append(byPartition[at.partition], d)
	}
	var calls []call
	for p, all := range byPartition {
		for len(all) > 0 {
			n := min(len(all), handedOverChunk)
			calls = append(calls, s.handedOver(place{partition: p}, all[:n]))
			all = all[n:]
		}
	}
	if len(calls) == 0 {
		return nil
	}
	replies, err := s.runAll(ctx, calls)
	for _, r := range replies {
		if err == nil {
			word(r, dag.ReplyOK)
			err = r.err
		}
	}
	if err != nil {
		return fmt.Errorf("note %d deliveries as handed over: %w", len(deliveries), err)
	}
	return nil
}

func (s *Store) handedOver(at place, deliveries []dag.Delivery) call {
	steps := make([]string, len(deliveries))
	args := make([]any, 0, 3*len(deliveries))
	for i, d := range deliveries {
		at.run = d.Run
		steps[i] = s.keys.key("steps", at)
		args = append(args, d.Run, d.Step, d.Epoch)
	}
	return s.call("handed_over", at, steps, args...)
}

// Later implements [engine.Agenda].
func (s *Store) Later(ctx context.Context, delivery dag.Delivery, delay time.Duration) error {
	at, err := placeOf(delivery.Run, "")
	if err != nil {
		return fmt.Errorf("later: %w", err)
	}
	if _, err := s.run(ctx, s.call("later", at, nil, sendMember(delivery), delay.Milliseconds())); err != nil {
		return fmt.Errorf("put off the hand-over of %s: %w", delivery.TaskID(), err)
	}
	return nil
}

// Reissue implements [engine.Agenda].
func (s *Store) Reissue(ctx context.Context, req dag.ReissueRequest) (dag.Settled, error) {
	at, err := placeOf(req.Run, req.Def)
	if err != nil {
		return dag.Settled{}, fmt.Errorf("reissue: %w", err)
	}
	r, err := s.run(ctx, s.call("reissue", at, nil,
		req.Run, req.Step, string(req.State), req.Epoch, req.Nonce, flag(req.Crash), req.Delay.Milliseconds()))
	if err != nil {
		return dag.Settled{}, fmt.Errorf("reissue step %s of run %s: %w", req.Step, req.Run, err)
	}
	return r.settled(req.Run, req.Def, dag.ReplyOK, dag.ReplyRaced, dag.ReplyAlive)
}

// Expire implements [engine.Agenda].
func (s *Store) Expire(ctx context.Context, run string) (dag.Expired, error) {
	at, workflow, err := s.placeOfRun(ctx, run)
	if err != nil {
		return dag.Expired{}, fmt.Errorf("expire run %s: %w", run, err)
	}
	r, err := s.run(ctx, s.call("expire", at, nil, run))
	if err != nil {
		return dag.Expired{}, fmt.Errorf("expire run %s: %w", run, err)
	}
	e := dag.Expired{Reply: word(r, dag.ReplyOK, dag.ReplyAlready, dag.ReplyConflict, dag.ReplyNoRun), Workflow: workflow, Run: dag.RunState(r.text())}
	return e, r.err
}

// placeOfRun reads which definition and workflow a run has, which never change. There are none when there is no such run.
func (s *Store) placeOfRun(ctx context.Context, run string) (at place, workflow string, err error) {
	if at, err = placeOf(run, ""); err != nil {
		return at, "", err
	}
	key := s.keys.key("run", at)
	values, err := s.client.HMGet(ctx, key, "def", "workflow").Result()
	if err != nil {
		return at, "", s.explain(ctx, err, []string{key})
	}
	r := newReply("run", values)
	at.def, workflow = r.text(), r.text()
	return at, workflow, r.err
}
