package enginetest

import (
	"maps"
	"slices"
)

// Snapshot is what a [Memory] held at some moment. It does not change with the store.
type Snapshot struct{ content content }

// Snapshot copies all that the store holds, runs and catalogue. The clock is not part of it.
func (m *Memory) Snapshot() *Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Snapshot{m.clone()}
}

// Restore rolls the store back to a snapshot of it, as a Redis does that lost its last writes; the clock goes on. The same snapshot may be
// restored again.
func (m *Memory) Restore(s *Snapshot) {
	restored := s.content.clone()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.content = restored
}

// clone is a deep copy, except of what never changes: graphs, inputs, outputs, errors, registrations.
func (c *content) clone() content {
	cloned := content{
		workflows: maps.Clone(c.workflows), workers: maps.Clone(c.workers), sweepers: maps.Clone(c.sweepers), groups: maps.Clone(c.groups),
	}
	for name, versions := range c.workflows {
		cloned.workflows[name] = maps.Clone(versions)
	}
	for i := range c.partitions {
		cloned.partitions[i] = c.partitions[i].clone()
	}
	return cloned
}

func (p *partition) clone() partition {
	cloned := partition{
		runs: make(map[string]*run, len(p.runs)), idem: maps.Clone(p.idem),
		agenda: maps.Clone(p.agenda), claims: maps.Clone(p.claims), doubts: maps.Clone(p.doubts), dlq: maps.Clone(p.dlq),
	}
	for id, r := range p.runs {
		cloned.runs[id] = r.clone()
	}
	return cloned
}

func (r *run) clone() *run {
	cloned := *r
	// Lines and nonces are only ever appended: clipped, neither copy writes into what the other sees.
	cloned.log, cloned.ops = slices.Clip(r.log), slices.Clip(r.ops)
	cloned.steps = make(map[string]*step, len(r.steps))
	for name, s := range r.steps {
		step := *s
		step.dead = slices.Clone(s.dead)
		cloned.steps[name] = &step
	}
	return &cloned
}
