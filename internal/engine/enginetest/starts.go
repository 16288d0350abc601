package enginetest

import (
	"context"
	"fmt"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// CreateRun is create_run: the idempotency key decides first, then the run's own ID, so that the same request may be sent again and again.
func (m *Memory) CreateRun(_ context.Context, req dag.NewRun) (dag.Created, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := dag.RunPartition(req.ID)
	if err != nil {
		return dag.Created{}, err
	}
	if m.memory.Max > 0 && m.memory.Used >= m.memory.Max {
		return dag.Created{}, engine.ErrMemory
	}
	p := &m.partitions[n]
	idem := req.Graph.FullName() + ":" + req.Key
	if found, ok := p.idem[idem]; ok && req.Key != "" {
		if found.fingerprint != req.Fingerprint {
			return dag.Created{}, engine.ErrMismatch
		}
		return dag.Created{ID: found.run, Replayed: found.run != req.ID}, nil
	}
	if p.runs[req.ID] != nil {
		return dag.Created{ID: req.ID}, nil
	}
	if req.Key != "" {
		p.idem[idem] = idemRecord{run: req.ID, fingerprint: req.Fingerprint}
	}
	now := m.clock()
	c := &change{partition: p, run: newRun(&req, now), now: now}
	c.create()
	return dag.Created{ID: req.ID, Sends: c.sends, At: instant(now)}, nil
}

// RunOfKey looks the key up.
func (m *Memory) RunOfKey(_ context.Context, partition int, workflow, key string) (run, fingerprint string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found, ok := m.partitions[partition].idem[workflow+":"+key]
	if !ok {
		return "", "", fmt.Errorf("idempotency key %q of %s: %w", key, workflow, engine.ErrNotFound)
	}
	return found.run, found.fingerprint, nil
}

func newRun(req *dag.NewRun, now int64) *run {
	r := &run{
		id: req.ID, graph: req.Graph, input: req.Input, key: req.Key, state: dag.RunRunning, bytes: len(req.Input),
		labels: req.Labels, correlationID: req.CorrelationID, traceParent: req.TraceParent,
		timeout: req.Timeout.Milliseconds(), keep: req.Keep.Milliseconds(), keepFailed: req.KeepFailed.Milliseconds(),
		createdAt: now, steps: map[string]*step{},
	}
	if start := req.StartAt.UnixMilli(); !req.StartAt.IsZero() && start > now {
		r.state, r.startAt = dag.RunScheduled, start
	}
	r.deadline = max(now, r.startAt) + r.timeout
	for i := range req.Graph.Nodes {
		node := &req.Graph.Nodes[i]
		r.steps[node.Name] = &step{node: node, state: dag.StepPending}
	}
	return r
}

// create puts the run into its partition and queues its roots, now or at start_at.
func (c *change) create() {
	c.runs[c.run.id] = c.run
	c.agenda[c.endMember()] = c.run.deadline
	c.log("created", nil)
	for _, root := range c.run.graph.Roots() {
		c.run.active++
		c.queue(c.step(root), c.run.startAt)
	}
}
