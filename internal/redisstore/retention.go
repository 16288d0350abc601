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

// Purge implements [engine.Repairs], in two round trips. A run that cannot be removed is an error, which does not keep the others.
func (s *Store) Purge(ctx context.Context, runs []string) (int, error) {
	purged, err := s.purge(ctx, runs)
	if err != nil {
		return purged, fmt.Errorf("remove %d ended runs: %w", len(runs), err)
	}
	return purged, nil
}

func (s *Store) purge(ctx context.Context, runs []string) (purged int, errs error) {
	var places []place
	var cmds []*redis.SliceCmd
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, run := range runs {
			at, err := placeOf(run, "")
			if err != nil {
				errs = errors.Join(errs, err)
				continue
			}
			places = append(places, at)
			cmds = append(cmds, p.HMGet(ctx, s.keys.key("run", at), "workflow", "key", "labels"))
		}
		return nil
	})
	if len(places) == 0 {
		return 0, errs
	}
	if err != nil {
		return 0, errors.Join(errs, s.explain(ctx, err, []string{s.keys.key("run", places[0])}))
	}
	var calls []call
	for i, at := range places {
		r := newReply("run", cmds[i].Val())
		at.workflow, at.key = r.text(), r.text()
		labels, err := s.labelKeys(at, r.text())
		errs = errors.Join(errs, err, r.err)
		calls = append(calls, s.call("purge", at, labels, at.run))
	}
	replies, err := s.runAll(ctx, calls)
	errs = errors.Join(errs, err)
	for _, r := range replies {
		if word(r, dag.ReplyOK, dag.ReplyAlready, dag.ReplyConflict) == dag.ReplyOK {
			purged++
		}
		errs = errors.Join(errs, r.err)
	}
	return purged, errs
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
