package enginetest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// read opens a run that is only looked at.
func (m *Memory) read(id string) (*change, error) {
	c, ok := m.open(id)
	if !ok {
		return nil, fmt.Errorf("run %s: %w", id, engine.ErrNotFound)
	}
	return c, nil
}

// Run returns the run with its steps in topological order.
func (m *Memory) Run(_ context.Context, id string) (dag.RunView, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.read(id)
	if err != nil {
		return dag.RunView{}, err
	}
	r := c.run
	view := dag.RunView{
		ID: r.id, Workflow: r.graph.FullName(), Version: r.graph.Version, Def: r.graph.Digest, State: r.state, Input: r.input, Key: r.key,
		Labels: maps.Clone(r.labels), CorrelationID: r.correlationID, TraceParent: r.traceParent,
		Progress:  dag.ProgressOf(r.completed, len(r.steps)),
		CreatedAt: instant(r.createdAt), StartAt: instant(r.startAt), StartedAt: instant(r.startedAt),
		FinishedAt: instant(r.finishedAt), Deadline: instant(r.deadline),
	}
	for i := range r.graph.Nodes {
		view.Steps = append(view.Steps, c.step(r.graph.Nodes[i].Name).view())
	}
	return view, nil
}

func (s *step) view() dag.StepView {
	return dag.StepView{
		Name: s.node.Name, Handler: s.node.Handler, Queue: s.node.Queue, State: s.state, Epoch: s.epoch,
		Attempts: s.attempts, Failures: s.failures, Crashes: s.crashes, MaxAttempts: s.node.Retry.MaxAttempts, KeyGeneration: s.gen,
		Error: s.err, Output: s.output, Worker: s.worker,
		QueuedAt: instant(s.queuedAt), StartedAt: instant(s.startedAt), FinishedAt: instant(s.finishedAt), NextRetryAt: instant(s.due),
	}
}

// Log returns the history of a run, oldest first.
func (m *Memory) Log(_ context.Context, id string) ([]dag.LogEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.read(id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(c.run.log), nil
}

// Graph returns the graph that the run was started with.
func (m *Memory) Graph(_ context.Context, id string) (*dag.Graph, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.read(id)
	if err != nil {
		return nil, err
	}
	return c.run.graph, nil
}

// Output returns the output of a step that succeeded.
func (m *Memory) Output(_ context.Context, id, name string) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.read(id)
	if err != nil {
		return nil, err
	}
	if s := c.step(name); s.output != nil {
		return s.output, nil
	}
	return nil, fmt.Errorf("output of step %s of run %s: %w", name, id, engine.ErrNotFound)
}

// position is where a dead letter stands: latest first, then by member downwards. A cursor is the position of the last letter of a page.
type position struct {
	at     int64
	member string
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(q.at, p.at), strings.Compare(q.member, p.member))
}

// DeadLetters returns a page of failed steps of all partitions.
func (m *Memory) DeadLetters(_ context.Context, q dag.DeadLetterQuery) (dag.DeadLetterPage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	after, err := parsePosition(q.Cursor)
	if err != nil {
		return dag.DeadLetterPage{}, err
	}
	var page dag.DeadLetterPage
	for _, pos := range m.failures() {
		if q.Cursor != "" && pos.compare(after) <= 0 {
			continue
		}
		letter := m.letter(pos)
		if !selects(&q, &letter) {
			continue
		}
		if len(page.Letters) == q.Limit {
			last := page.Letters[q.Limit-1]
			page.Next = fmt.Sprintf("%d:%s:%s", last.FailedAt.UnixMilli(), last.Run, last.Step)
			break
		}
		page.Letters = append(page.Letters, letter)
	}
	return page, nil
}

func (m *Memory) letter(pos position) dag.DeadLetter {
	c, s := m.stepOf(pos.member)
	return dag.DeadLetter{
		Run: c.run.id, Step: s.node.Name, Workflow: c.run.graph.FullName(), Error: *s.err, Attempts: s.attempts, Crashes: s.crashes,
		Worker: s.worker, StartedAt: instant(s.startedAt), FailedAt: instant(pos.at), CorrelationID: c.run.correlationID,
	}
}

// selects tells whether the query is about this letter.
func selects(q *dag.DeadLetterQuery, l *dag.DeadLetter) bool {
	return (q.Workflow == "" || q.Workflow == l.Workflow) && (q.Step == "" || q.Step == l.Step) && (q.Code == "" || q.Code == l.Error.Code) &&
		(q.After.IsZero() || !l.FailedAt.Before(q.After)) && (q.Before.IsZero() || l.FailedAt.Before(q.Before))
}

// failures lists all dead letters in their order.
func (m *Memory) failures() []position {
	var all []position
	for i := range m.partitions {
		for member, at := range m.partitions[i].dlq {
			all = append(all, position{at: at, member: member})
		}
	}
	slices.SortFunc(all, position.compare)
	return all
}

func parsePosition(cursor string) (position, error) {
	if cursor == "" {
		return position{}, nil
	}
	at, member, _ := strings.Cut(cursor, ":")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return position{}, fmt.Errorf("%w: cursor %q of dead letters", dag.ErrInvalid, cursor)
	}
	return position{at: ms, member: member}, nil
}

// Stats counts over all partitions. States without a run are left out.
func (m *Memory) Stats(context.Context) (dag.StoreStats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stats, now := dag.StoreStats{Runs: map[dag.RunState]int64{}}, m.clock()
	for i := range m.partitions {
		p := &m.partitions[i]
		for _, r := range p.runs {
			stats.Runs[r.state]++
		}
		stats.Running += int64(len(p.claims))
		stats.DeadLetters += int64(len(p.dlq))
		stats.Lag = max(stats.Lag, p.agenda.lag(now, p.agenda.until(now, len(p.agenda))))
	}
	return stats, nil
}
