package enginetest

import (
	"cmp"
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

var _ engine.Store = (*Memory)(nil)

// Memory is the in-memory [engine.Store] and the specification of all others. One mutex makes every call one atomic transition. Times
// are whole Unix milliseconds, as in Redis; 0 is none.
type Memory struct {
	mu     sync.Mutex
	now    int64
	follow func() time.Time // instead of now, when it is there
	memory dag.Memory
	content
}

// content is all that a Memory holds beside its clock.
type content struct {
	partitions [dag.Partitions]partition
	workflows  map[string]map[string]dag.Registration // namespace/name → version
	workers    map[string]dag.WorkerInfo
	sweepers   zset           // sweepers by when they count as gone
	groups     map[int]string // groups of partitions and the sweepers that have them
}

// partition holds runs and what the sweeper looks at. A transition never needs more than one.
type partition struct {
	runs   map[string]*run
	idem   map[string]idemRecord // namespace/name:key
	agenda zset                  // send:ID:step:epoch hand over, end:ID deadline, purge:ID end of retention; by time
	claims zset                  // ID:step of every running step, by the end of its lease
	doubts zset                  // ID:step of every handed-over step, by when to look whether its task still exists
	dlq    zset                  // ID:step of every failed step, by the time of failure
}

type idemRecord struct{ run, fingerprint string }

type run struct {
	id    string
	graph *dag.Graph
	input json.RawMessage
	key   string
	state dag.RunState

	active    int // steps that are queued, running, retrying or waiting
	completed int // steps that succeeded or were skipped
	bytes     int // of input and outputs

	labels        map[string]string
	correlationID string
	traceParent   string
	timeout       int64 // ms

	keep, keepFailed int64 // how long the run is kept after its end, the second when it failed; ms, 0 for ever
	remaining        int64 // ms until the deadline, while the run is paused

	createdAt, startAt, startedAt, finishedAt, deadline int64

	steps map[string]*step
	log   []dag.LogEntry
	ops   []string // nonces of the last operator requests
}

type step struct {
	node    *dag.Node
	state   dag.StepState
	epoch   int       // rises with every way back to queued
	parents dag.Tally // settled parents by outcome

	claim   string // nonce of the worker that runs it
	lease   int64  // until when the claim holds if it is not renewed
	leaving bool   // the worker is shutting down

	done string   // the last nonce that settled something
	dead []string // the last nonces that were declared dead

	due                         int64 // not to be begun before
	seen                        int64 // when its task was first seen active though it had not begun
	attempts, failures, crashes int
	gen                         int // of the effect key
	err                         *dag.StepError
	output                      json.RawMessage
	worker                      string

	queuedAt, startedAt, finishedAt int64
}

// NewMemory returns an empty store whose clock stands at now.
func NewMemory(now time.Time) *Memory {
	m := &Memory{now: now.UnixMilli(), content: content{
		workflows: map[string]map[string]dag.Registration{}, workers: map[string]dag.WorkerInfo{}, sweepers: zset{}, groups: map[int]string{},
	}}
	for i := range m.partitions {
		m.partitions[i] = partition{
			runs: map[string]*run{}, idem: map[string]idemRecord{}, agenda: zset{}, claims: zset{}, doubts: zset{}, dlq: zset{},
		}
	}
	return m
}

// change is one transition: a run, its partition, the time, and the deliveries that the caller is to hand over at once.
type change struct {
	*partition
	run   *run
	now   int64
	sends []dag.Send
}

// open starts a change of a run; ok is false when there is no such run. The caller holds the lock.
func (m *Memory) open(id string) (c *change, ok bool) {
	n, err := dag.RunPartition(id)
	if err != nil {
		return nil, false
	}
	p := &m.partitions[n]
	r, ok := p.runs[id]
	return &change{partition: p, run: r, now: m.clock()}, ok
}

// step returns a step of the run, or one that nobody ever queued when there is none of that name.
func (c *change) step(name string) *step {
	if s, ok := c.run.steps[name]; ok {
		return s
	}
	return &step{node: &dag.Node{Name: name}, state: dag.StepPending}
}

// steps are the steps of the run in topological order.
func (c *change) steps() iter.Seq[*step] {
	return func(yield func(*step) bool) {
		for i := range c.run.graph.Nodes {
			if !yield(c.run.steps[c.run.graph.Nodes[i].Name]) {
				return
			}
		}
	}
}

// idle tells whether the step waits for a worker: its task is with the queue, or on its way there.
func (s *step) idle() bool { return s.state == dag.StepQueued || s.state == dag.StepRetrying }

// holds tells whether nonce is the claim under which the step runs. It is the only fence.
func (s *step) holds(nonce string) bool { return s.state == dag.StepRunning && s.claim == nonce }

func (c *change) member(s *step) string { return c.run.id + ":" + s.node.Name }

func (c *change) sendMember(s *step) string {
	return "send:" + c.member(s) + ":" + strconv.Itoa(s.epoch)
}

func (c *change) endMember() string { return "end:" + c.run.id }

func (c *change) purgeMember() string { return "purge:" + c.run.id }

// log writes a line about the step, or about the run when s is nil.
func (c *change) log(event string, s *step) { c.logEntry(dag.LogEntry{Event: event}, s) }

func (c *change) logEntry(e dag.LogEntry, s *step) {
	e.At = instant(c.now)
	if s != nil {
		e.Step, e.Epoch, e.Attempt, e.Worker = s.node.Name, s.epoch, s.attempts, s.worker
	}
	c.run.log = lastOf(dag.MaxLogEntries, append(c.run.log, e))
}

// zset is a sorted set of Redis: members by score.
type zset map[string]int64

// until returns the first limit members with a score of now or less, in the order of Redis: by score, then by name.
func (z zset) until(now int64, limit int) []string {
	var due []string
	for m, score := range z {
		if score <= now {
			due = append(due, m)
		}
	}
	slices.SortFunc(due, func(a, b string) int {
		return cmp.Or(cmp.Compare(z[a], z[b]), strings.Compare(a, b))
	})
	return due[:min(limit, len(due))]
}

// lag is the age of the first of the entries of an agenda that somebody waits for: nobody waits for a purge.
func (z zset) lag(now int64, entries []string) time.Duration {
	for _, entry := range entries {
		if !strings.HasPrefix(entry, "purge:") {
			return milliseconds(now - z[entry])
		}
	}
	return 0
}

// lastOf returns the last n elements.
func lastOf[T any](n int, s []T) []T { return s[max(0, len(s)-n):] }

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// instant is the time of Unix milliseconds; 0 is the zero time.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
