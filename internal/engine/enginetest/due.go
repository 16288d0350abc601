package enginetest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Waiting lists the partitions in which something is due. Here all have the same clock.
func (m *Memory) Waiting(context.Context) (partitions []int, clocks []time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock()
	for i := range m.partitions {
		if p := &m.partitions[i]; len(p.agenda.until(now, 1))+len(p.claims.until(now, 1))+len(p.doubts.until(now, 1)) > 0 {
			partitions = append(partitions, i)
		}
	}
	return partitions, slices.Repeat([]time.Time{instant(now)}, len(m.partitions)), nil
}

// Due reads what the partition has waiting. An entry goes when its work is done, except claims and doubts that belong to nothing.
func (m *Memory) Due(_ context.Context, partition int, limits dag.DueLimits) (dag.Due, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, now := &m.partitions[partition], m.clock()
	entries := p.agenda.until(now, limits.Entries)
	due := dag.Due{Now: instant(now), Lag: p.agenda.lag(now, entries)}
	for _, entry := range entries {
		switch kind, rest, _ := strings.Cut(entry, ":"); kind {
		case "end":
			due.Ends = append(due.Ends, rest)
		case "purge":
			due.Purges = append(due.Purges, rest)
		default:
			m.dueSend(&due, parseSend(rest))
		}
	}
	for _, member := range p.claims.until(now, limits.Entries) {
		if c, s := m.stepOf(member); s != nil && s.state == dag.StepRunning {
			due.Claims = append(due.Claims, c.deadClaim(s))
		} else {
			delete(p.claims, member)
		}
	}
	for _, member := range p.doubts.until(now, limits.Doubts) {
		if c, s := m.stepOf(member); s != nil && s.idle() && c.run.state != dag.RunPaused {
			due.Doubts = append(due.Doubts, c.doubt(s))
		} else {
			delete(p.doubts, member)
		}
	}
	return due, nil
}

// dueSend enters a delivery as one to hand over, or as one that nobody waits for.
func (m *Memory) dueSend(due *dag.Due, d dag.Delivery) {
	c, ok := m.open(d.Run)
	if !ok || c.step(d.Step).state != dag.StepQueued || c.step(d.Step).epoch != d.Epoch {
		due.Stale = append(due.Stale, d)
		return
	}
	due.Sends = append(due.Sends, c.send(c.step(d.Step)))
}

// stepOf finds the step of a member of claims, doubts or dlq; nil when there is none.
func (m *Memory) stepOf(member string) (*change, *step) {
	id, name, _ := strings.Cut(member, ":")
	c, ok := m.open(id)
	if !ok {
		return nil, nil
	}
	return c, c.step(name)
}

func (c *change) deadClaim(s *step) dag.DeadClaim {
	return dag.DeadClaim{
		ClaimRef: dag.ClaimRef{Run: c.run.id, Step: s.node.Name, Def: c.run.graph.Digest, Nonce: s.claim},
		Workflow: c.run.graph.FullName(),
		Epoch:    s.epoch, Worker: s.worker, Crashes: s.crashes, Lease: instant(s.lease), Leaving: s.leaving,
	}
}

func (c *change) doubt(s *step) dag.Doubt {
	since := s.queuedAt
	if s.state == dag.StepRetrying {
		since = s.due
	}
	return dag.Doubt{
		Delivery: c.delivery(s), Def: c.run.graph.Digest, Workflow: c.run.graph.FullName(), State: s.state, Queue: s.node.Queue,
		Since: instant(since), Seen: instant(s.seen),
	}
}

// parseSend reads ID:step:epoch.
func parseSend(text string) dag.Delivery {
	parts := strings.Split(text, ":")
	epoch, err := strconv.Atoi(parts[2])
	if err != nil {
		panic(fmt.Sprintf("agenda entry %q: %v", text, err))
	}
	return dag.Delivery{Run: parts[0], Step: parts[1], Epoch: epoch}
}
