package enginetest

import (
	"context"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// Share divides the groups evenly among the sweepers that are there: each keeps what it has up to an even share, and takes what nobody has.
func (m *Memory) Share(_ context.Context, sweeper dag.SweeperInfo) (groups []int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock()
	m.sweepers[sweeper.ID] = now + sweeper.TTL.Milliseconds()
	if sweeper.Left {
		delete(m.sweepers, sweeper.ID)
	}
	for _, gone := range m.sweepers.until(now, len(m.sweepers)) {
		delete(m.sweepers, gone)
	}
	even := 0
	if _, there := m.sweepers[sweeper.ID]; there {
		even = (engine.SweepGroups + len(m.sweepers) - 1) / len(m.sweepers)
	}
	kept := 0
	for g := range engine.SweepGroups {
		switch {
		case m.groups[g] != sweeper.ID:
		case kept < even:
			kept++
		default:
			delete(m.groups, g)
		}
	}
	for g := range engine.SweepGroups {
		if _, there := m.sweepers[m.groups[g]]; kept < even && !there {
			m.groups[g] = sweeper.ID
			kept++
		}
		if m.groups[g] == sweeper.ID {
			groups = append(groups, g)
		}
	}
	return groups, nil
}
