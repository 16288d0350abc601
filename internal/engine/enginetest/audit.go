package enginetest

import (
	"context"
	"maps"
	"slices"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Audit looks at the runs of a partition with the eyes of [Check]. Its cursor is the last run of a page.
func (m *Memory) Audit(_ context.Context, partition int, cursor string, limit int) (dag.AuditPage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &m.partitions[partition]
	ids := slices.Sorted(maps.Keys(p.runs))
	next, found := slices.BinarySearch(ids, cursor)
	if found {
		next++
	}
	ids = ids[next:]
	page := dag.AuditPage{Runs: min(limit, len(ids))}
	if len(ids) > limit {
		ids = ids[:limit]
		page.Next = ids[limit-1]
	}
	page.Mismatches = p.mismatches(ids)
	return page, nil
}

// mismatches checks some of the partition's runs.
func (p *partition) mismatches(ids []string) []dag.Mismatch {
	s := NewState()
	c := checker{state: &s, graphs: map[string]*dag.Graph{}, entries: map[string]bool{}}
	for _, id := range ids {
		p.runs[id].dump(&s)
		c.graphs[p.runs[id].graph.Digest] = p.runs[id].graph
	}
	s.tidy()
	for from, to := range map[*zset]map[string]int64{&p.agenda: s.Agenda, &p.claims: s.Claims, &p.doubts: s.Doubts, &p.dlq: s.DLQ} {
		for member, score := range *from {
			if slices.Contains(ids, runOf(member)) {
				to[member] = score
			}
		}
	}
	for _, id := range ids {
		c.run(id)
	}
	c.leftovers()
	return c.broken
}
