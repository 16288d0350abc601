package redisstore

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// Replies of create_run.
const (
	createdOK       = "OK"
	createdDup      = "DUP"
	createdMismatch = "MISMATCH"
	createdNoDef    = "NODEF"
)

// CreateRun implements [engine.Starts]. The first run of a definition in a partition takes two round trips: the definition goes along with the second.
func (s *Store) CreateRun(ctx context.Context, run dag.NewRun) (dag.Created, error) {
	c, err := s.createCall(&run)
	if err != nil {
		return dag.Created{}, fmt.Errorf("create run %s: %w", run.ID, err)
	}
	created, found, err := s.create(ctx, &run, c)
	if err == nil && !found {
		var definition []any
		if definition, err = freeze(run.Graph); err == nil {
			c.args = append(c.args, definition...)
			created, found, err = s.create(ctx, &run, c)
		}
		if err == nil && !found {
			err = fmt.Errorf("%w: definition %s was sent and is not there", errScript, run.Graph.Digest)
		}
	}
	if err != nil {
		return dag.Created{}, fmt.Errorf("create run %s: %w", run.ID, err)
	}
	return created, nil
}

// RunOfKey implements [engine.Starts].
func (s *Store) RunOfKey(ctx context.Context, partition int, workflow, key string) (run, fingerprint string, err error) {
	at := place{partition: partition, workflow: workflow, key: key}
	r, err := s.runConfirmed(ctx, s.call("run_of_key", at, nil))
	if err != nil {
		return "", "", fmt.Errorf("idempotency key %q of %s: %w", key, workflow, err)
	}
	word(r, dag.ReplyOK)
	if run, fingerprint = r.text(), r.text(); run == "" && r.err == nil {
		return "", "", fmt.Errorf("idempotency key %q of %s: %w", key, workflow, engine.ErrNotFound)
	}
	return run, fingerprint, r.err
}

func (s *Store) createCall(run *dag.NewRun) (call, error) {
	at, err := placeOf(run.ID, run.Graph.Digest)
	if err != nil {
		return call{}, err
	}
	at.workflow, at.key = run.Graph.FullName(), run.Key
	var labels []string
	labelsJSON := ""
	for _, name := range slices.Sorted(maps.Keys(run.Labels)) {
		at.label = name + "=" + run.Labels[name]
		labels = append(labels, s.keys.key("idx_label", at))
	}
	if len(run.Labels) > 0 {
		raw, err := marshal(run.Labels)
		if err != nil {
			return call{}, fmt.Errorf("labels: %w", err)
		}
		labelsJSON = string(raw)
	}
	return s.call("create_run", at, labels,
		run.ID, run.Key, run.Fingerprint, at.workflow, run.Graph.Version, run.Graph.Digest, string(run.Input),
		run.Timeout.Milliseconds(), millis(run.StartAt), labelsJSON, run.CorrelationID, run.TraceParent,
		run.Keep.Milliseconds(), run.KeepFailed.Milliseconds()), nil
}

// create calls create_run; found is false when the partition does not know the definition yet.
func (s *Store) create(ctx context.Context, run *dag.NewRun, c call) (created dag.Created, found bool, err error) {
	r, err := s.runConfirmed(ctx, c)
	if err != nil {
		return dag.Created{}, false, err
	}
	switch word(r, createdOK, createdDup, createdMismatch, createdNoDef) {
	case createdOK:
		created.ID = r.text()
		traceParent := r.text()
		created.Sends = r.sends(run.ID, run.Graph.Digest, traceParent)
		created.At = r.time()
	case createdDup:
		created.ID = r.text()
		created.Replayed = created.ID != run.ID
	case createdMismatch:
		return dag.Created{}, true, engine.ErrMismatch
	case createdNoDef:
		return dag.Created{}, false, nil
	}
	return created, true, r.err
}
