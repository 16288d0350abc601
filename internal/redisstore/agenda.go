package redisstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// stepsChunk bounds the steps of one call of a script that goes over many, so that no call holds Redis up.
const stepsChunk = 100

// HandedOver implements [engine.Agenda], in one round trip.
func (s *Store) HandedOver(ctx context.Context, deliveries []dag.Delivery) error {
	err := s.eachStep(ctx, "handed_over", deliveries, func(i int) []any {
		return []any{deliveries[i].Run, deliveries[i].Step, deliveries[i].Epoch}
	})
	if err != nil {
		return fmt.Errorf("note %d deliveries as handed over: %w", len(deliveries), err)
	}
	return nil
}

// eachStep calls a script over the steps of deliveries, in one round trip. The script gets their steps keys, and args of each.
func (s *Store) eachStep(ctx context.Context, script string, deliveries []dag.Delivery, args func(i int) []any) error {
	byPartition := map[int][]int{}
	for i := range deliveries {
		at, err := placeOf(deliveries[i].Run, "")
		if err != nil {
			return err
		}
		byPartition[at.partition] = append(byPartition[at.partition], i)
	}
	var calls []call
	for p, all := range byPartition {
		for chunk := range slices.Chunk(all, stepsChunk) {
			at := place{partition: p}
			var keys []string
			var list []any
			for _, i := range chunk {
				at.run = deliveries[i].Run
				keys, list = append(keys, s.keys.key("steps", at)), append(list, args(i)...)
			}
			calls = append(calls, s.call(script, at, keys, list...))
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
	return err
}

// Later implements [engine.Agenda].
func (s *Store) Later(ctx context.Context, delivery dag.Delivery, delay time.Duration) error {
	at, err := placeOf(delivery.Run, "")
	if err != nil {
		return fmt.Errorf("later: %w", err)
	}
	if _, err := s.run(ctx, s.call("later", at, nil, delay.Milliseconds(), sendMember(delivery))); err != nil {
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
