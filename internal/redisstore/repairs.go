package redisstore

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// LookAgain implements [engine.Repairs], in one round trip.
func (s *Store) LookAgain(ctx context.Context, looks []dag.Look) error {
	deliveries := make([]dag.Delivery, len(looks))
	for i := range looks {
		deliveries[i] = looks[i].Delivery
	}
	err := s.eachStep(ctx, "look_again", deliveries, func(i int) []any {
		l := &looks[i]
		return []any{l.Run, l.Step, l.Epoch, l.After.Milliseconds(), flag(l.Active)}
	})
	if err != nil {
		return fmt.Errorf("put off %d looks: %w", len(looks), err)
	}
	return nil
}

// Bury implements [engine.Repairs].
func (s *Store) Bury(ctx context.Context, req dag.BuryRequest) (dag.Settled, error) {
	at, err := placeOf(req.Run, req.Def)
	if err != nil {
		return dag.Settled{}, fmt.Errorf("bury: %w", err)
	}
	failure, err := marshal(req.Error)
	if err != nil {
		return dag.Settled{}, fmt.Errorf("bury step %s of run %s: write the error: %w", req.Step, req.Run, err)
	}
	r, err := s.run(ctx, s.call("bury", at, nil, req.Run, req.Step, string(req.State), req.Epoch, string(failure)))
	if err != nil {
		return dag.Settled{}, fmt.Errorf("bury step %s of run %s: %w", req.Step, req.Run, err)
	}
	return r.settled(req.Run, req.Def, dag.ReplyOK, dag.ReplyRaced)
}

// StepsAt implements [engine.Repairs], in one round trip a server.
func (s *Store) StepsAt(ctx context.Context, deliveries []dag.Delivery) ([]dag.StepAt, error) {
	found := make([]dag.StepAt, len(deliveries))
	runs, steps := make([]*redis.SliceCmd, len(deliveries)), make([]*redis.SliceCmd, len(deliveries))
	var keys []string
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, d := range deliveries {
			found[i].Delivery = d
			at, err := placeOf(d.Run, "")
			if err != nil {
				continue // there is no such run
			}
			run, step := s.keys.key("run", at), s.keys.key("steps", at)
			keys = append(keys, run, step)
			runs[i], steps[i] = p.HMGet(ctx, run, "state"), p.HMGet(ctx, step, d.Step+":state", d.Step+":epoch")
		}
		return nil
	})
	if err != nil && len(keys) > 0 {
		return nil, fmt.Errorf("look where %d steps stand: %w", len(deliveries), s.explain(ctx, err, keys))
	}
	for i := range found {
		if runs[i] == nil {
			continue
		}
		run, step := newReply("run", runs[i].Val()), newReply("steps", steps[i].Val())
		if run.text() == "" {
			continue
		}
		if found[i].State, found[i].At = dag.StepState(step.text()), step.intOr0(); found[i].State == "" {
			found[i].State = dag.StepPending
		}
		if step.err != nil {
			return nil, fmt.Errorf("step %s of run %s: %w", deliveries[i].Step, deliveries[i].Run, step.err)
		}
	}
	return found, nil
}

// Share implements [engine.Repairs].
func (s *Store) Share(ctx context.Context, sweeper dag.SweeperInfo) ([]int, error) {
	r, err := s.run(ctx, s.call("share", place{}, nil, sweeper.ID, sweeper.TTL.Milliseconds(), flag(sweeper.Left), engine.SweepGroups))
	if err != nil {
		return nil, fmt.Errorf("share partitions among sweepers: %w", err)
	}
	word(r, dag.ReplyOK)
	list := r.list()
	var groups []int
	for len(list.values) > 0 && list.err == nil {
		groups = append(groups, list.int())
	}
	return groups, list.err
}
