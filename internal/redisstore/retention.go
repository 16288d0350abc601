package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Purge implements [engine.Repairs], in two round trips. A run that cannot be removed is an error, which does not keep the others: it is put off by
// an hour. Those beside it may then be left out of the count.
func (s *Store) Purge(ctx context.Context, runs []string) (int, error) {
	purged, err := s.purge(ctx, runs)
	if err != nil {
		return purged, fmt.Errorf("remove %d ended runs: %w", len(runs), err)
	}
	return purged, nil
}

func (s *Store) purge(ctx context.Context, runs []string) (purged int, errs error) {
	var putOffs []call
	refuse := func(at place, err error) {
		errs = errors.Join(errs, err)
		putOffs = append(putOffs, s.call("later", at, nil, putOff.Milliseconds(), "purge:"+at.run))
	}
	var places []place
	for _, run := range runs {
		at, err := placeOf(run, "")
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		places = append(places, at)
	}
	places, calls, err := s.purgeCalls(ctx, places, refuse)
	if err != nil {
		return 0, errors.Join(errs, err)
	}
	replies, failed := s.runEach(ctx, calls)
	for i, r := range replies {
		switch {
		case isAnswer(failed[i]):
			refuse(places[i], failed[i])
		case failed[i] != nil:
			return purged, errors.Join(errs, failed[i])
		default:
			if word(r, dag.ReplyOK, dag.ReplyAlready, dag.ReplyConflict) == dag.ReplyOK {
				purged++
			}
			errs = errors.Join(errs, r.err)
		}
	}
	if len(putOffs) > 0 {
		_, err = s.runAll(ctx, putOffs)
	}
	return purged, errors.Join(errs, err)
}

// purgeCalls makes the calls for runs, of which it reads what their lists are named by, and refuses those that it cannot read.
func (s *Store) purgeCalls(ctx context.Context, all []place, refuse func(place, error)) (places []place, calls []call, err error) {
	if len(all) == 0 {
		return nil, nil, nil
	}
	cmds := make([]*redis.SliceCmd, len(all))
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error { // the commands tell
		for i, at := range all {
			cmds[i] = p.HMGet(ctx, s.keys.key("run", at), "workflow", "key", "labels")
		}
		return nil
	})
	for i, at := range all {
		values, err := cmds[i].Result()
		if err != nil {
			if err = s.explain(ctx, err, []string{s.keys.key("run", at)}); !isAnswer(err) {
				return nil, nil, err
			}
			refuse(at, err)
			continue
		}
		r := newReply("run", values)
		at.workflow, at.key = r.text(), r.text()
		labels, err := s.labelKeys(at, r.text())
		if err = errors.Join(err, r.err); err != nil {
			refuse(at, err)
			continue
		}
		places, calls = append(places, at), append(calls, s.call("purge", at, labels, at.run))
	}
	return places, calls, nil
}

// labelKeys are the lists of labels, which are written as JSON, that a run is in.
func (s *Store) labelKeys(at place, labels string) ([]string, error) {
	if labels == "" {
		return nil, nil
	}
	var values map[string]string
	if err := json.Unmarshal([]byte(labels), &values); err != nil {
		return nil, fmt.Errorf("labels of run %s: %w", at.run, err)
	}
	keys := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		at.label = name + "=" + values[name]
		keys = append(keys, s.keys.key("idx_label", at))
	}
	return keys, nil
}
