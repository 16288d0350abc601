package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// find is the place of a run that is read: an ID that cannot be one names no run.
func find(run string) (place, error) {
	at, err := placeOf(run, "")
	if err != nil {
		return at, fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	return at, nil
}

// Run implements [engine.Reads], in two round trips.
func (s *Store) Run(ctx context.Context, id string) (dag.RunView, error) {
	view, err := s.view(ctx, id)
	if err != nil {
		return dag.RunView{}, fmt.Errorf("read run %s: %w", id, err)
	}
	return view, nil
}

func (s *Store) view(ctx context.Context, id string) (dag.RunView, error) {
	at, err := find(id)
	if err != nil {
		return dag.RunView{}, err
	}
	names := []string{"run", "steps", "output", "input"}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = s.keys.key(name, at)
	}
	var run, steps, outputs *redis.MapStringStringCmd
	var input *redis.StringCmd
	_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		run, steps, outputs, input = p.HGetAll(ctx, keys[0]), p.HGetAll(ctx, keys[1]), p.HGetAll(ctx, keys[2]), p.Get(ctx, keys[3])
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return dag.RunView{}, s.explain(ctx, err, keys)
	}
	if len(run.Val()) == 0 {
		return dag.RunView{}, engine.ErrNotFound
	}
	graph, err := s.graph(ctx, at, run.Val()["def"])
	if err != nil {
		return dag.RunView{}, err
	}
	record := hash{values: run.Val()}
	view := record.view(id)
	view.Input = rawOf(input.Val())
	for i := range graph.Nodes {
		n := &graph.Nodes[i]
		step := hash{values: steps.Val(), prefix: n.Name + ":"}
		v := step.step(n)
		v.Output = rawOf(outputs.Val()[n.Name])
		view.Steps = append(view.Steps, v)
		record.err = errors.Join(record.err, step.err)
	}
	return view, record.err
}

// maxGraphs bounds the cache of graphs; beyond it the cache starts anew.
const maxGraphs = 256

// graphCache keeps frozen graphs by digest, under which they never change.
type graphCache struct {
	mu       sync.Mutex
	byDigest map[string]*dag.Graph
}

func (c *graphCache) get(digest string) *dag.Graph {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byDigest[digest]
}

func (c *graphCache) put(digest string, g *dag.Graph) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byDigest == nil || len(c.byDigest) >= maxGraphs {
		c.byDigest = map[string]*dag.Graph{}
	}
	c.byDigest[digest] = g
}

// graph reads a frozen graph, from Redis the first time.
func (s *Store) graph(ctx context.Context, at place, digest string) (*dag.Graph, error) {
	if g := s.graphs.get(digest); g != nil {
		return g, nil
	}
	at.def = digest
	key := s.keys.key("def", at)
	raw, err := s.client.HGet(ctx, key, "graph").Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("%w: key %s has no graph", errScript, key)
	}
	if err != nil {
		return nil, s.explain(ctx, err, []string{key})
	}
	var g dag.Graph
	if err := json.Unmarshal(raw, &g); err != nil {
		return nil, fmt.Errorf("graph in %s: %w", key, err)
	}
	s.graphs.put(digest, &g)
	return &g, nil
}

// hash reads the fields of a hash; what is absent is zero. The first field that is not of the form expected stays as its error.
type hash struct {
	values map[string]string
	prefix string // of every field
	err    error
}

func (h *hash) text(name string) string { return h.values[h.prefix+name] }

func (h *hash) int64(name string) int64 {
	text := h.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil && h.err == nil {
		h.err = fmt.Errorf("field %s%s: %w", h.prefix, name, err)
	}
	return n
}

func (h *hash) int(name string) int { return int(h.int64(name)) }

func (h *hash) time(name string) time.Time { return instant(h.int64(name)) }

func (h *hash) json(name string, v any) {
	text := h.text(name)
	if text == "" {
		return
	}
	if err := json.Unmarshal([]byte(text), v); err != nil && h.err == nil {
		h.err = fmt.Errorf("field %s%s: %w", h.prefix, name, err)
	}
}

func rawOf(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

func (h *hash) view(id string) dag.RunView {
	v := dag.RunView{
		ID: id, Workflow: h.text("workflow"), Version: h.text("version"), Def: h.text("def"), State: dag.RunState(h.text("state")),
		Key: h.text("key"), CorrelationID: h.text("correlation_id"), TraceParent: h.text("trace_parent"),
		Progress:  dag.ProgressOf(h.int("completed"), h.int("total")),
		CreatedAt: h.time("created_at"), StartAt: h.time("start_at"), StartedAt: h.time("started_at"),
		FinishedAt: h.time("finished_at"), Deadline: h.time("deadline"),
	}
	h.json("labels", &v.Labels)
	return v
}

func (h *hash) step(n *dag.Node) dag.StepView {
	v := dag.StepView{
		Name: n.Name, Handler: n.Handler, Queue: n.Queue, State: dag.StepState(h.text("state")), Epoch: h.int("epoch"),
		Attempts: h.int("attempts"), Failures: h.int("failures"), Crashes: h.int("crashes"), MaxAttempts: n.Retry.MaxAttempts,
		KeyGeneration: h.int("gen"), Worker: h.text("worker"),
		QueuedAt: h.time("queued_at"), StartedAt: h.time("started_at"), FinishedAt: h.time("finished_at"), NextRetryAt: h.time("due"),
	}
	if v.State == "" {
		v.State = dag.StepPending
	}
	h.json("error", &v.Error)
	return v
}

// Graph implements [engine.Reads].
func (s *Store) Graph(ctx context.Context, id string) (*dag.Graph, error) {
	g, err := s.graphOf(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("graph of run %s: %w", id, err)
	}
	return g, nil
}

func (s *Store) graphOf(ctx context.Context, id string) (*dag.Graph, error) {
	if _, err := find(id); err != nil {
		return nil, err
	}
	at, _, err := s.placeOfRun(ctx, id)
	if err != nil {
		return nil, err
	}
	if at.def == "" {
		return nil, engine.ErrNotFound
	}
	return s.graph(ctx, at, at.def)
}

// Output implements [engine.Reads].
func (s *Store) Output(ctx context.Context, id, step string) (json.RawMessage, error) {
	at, err := find(id)
	if err != nil {
		return nil, fmt.Errorf("output of step %s of run %s: %w", step, id, err)
	}
	key := s.keys.key("output", at)
	raw, err := s.client.HGet(ctx, key, step).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		err = engine.ErrNotFound
	case err != nil:
		err = s.explain(ctx, err, []string{key})
	}
	if err != nil {
		return nil, fmt.Errorf("output of step %s of run %s: %w", step, id, err)
	}
	return raw, nil
}

// Log implements [engine.Reads].
func (s *Store) Log(ctx context.Context, id string) ([]dag.LogEntry, error) {
	at, err := find(id)
	if err != nil {
		return nil, fmt.Errorf("log of run %s: %w", id, err)
	}
	key := s.keys.key("log", at)
	lines, err := s.client.LRange(ctx, key, 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("log of run %s: %w", id, s.explain(ctx, err, []string{key}))
	}
	if len(lines) == 0 { // every run has the line of its creation
		return nil, fmt.Errorf("log of run %s: %w", id, engine.ErrNotFound)
	}
	entries := make([]dag.LogEntry, len(lines))
	for i, line := range lines {
		if entries[i], err = parseLog(line); err != nil {
			return nil, fmt.Errorf("log of run %s: line %d of %s: %w", id, i, key, err)
		}
	}
	return entries, nil
}

// parseLog reads [ms, event, step, epoch, attempt, worker, code, message, actor]; the end may be missing.
func parseLog(line string) (dag.LogEntry, error) {
	var e dag.LogEntry
	var ms int64
	targets := []any{&ms, &e.Event, &e.Step, &e.Epoch, &e.Attempt, &e.Worker, &e.Code, &e.Message, &e.Actor}
	if err := json.Unmarshal([]byte(line), &targets); err != nil {
		return dag.LogEntry{}, err
	}
	e.At = instant(ms)
	return e, nil
}

// Stats implements [engine.Reads], in one round trip a server.
func (s *Store) Stats(ctx context.Context) (dag.StoreStats, error) {
	states := runStates()
	counts := make([]*redis.IntCmd, 0, dag.Partitions*(len(states)+2))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range dag.Partitions {
			at := place{partition: i}
			for _, state := range states {
				counts = append(counts, p.ZCard(ctx, s.keys.key("idx_"+string(state), at)))
			}
			counts = append(counts, p.ZCard(ctx, s.keys.key("claims", at)), p.ZCard(ctx, s.keys.key("dlq", at)))
		}
		return nil
	})
	if err != nil {
		return dag.StoreStats{}, fmt.Errorf("count runs: %w", s.explain(ctx, err, []string{s.keys.key("idx_all", place{})}))
	}
	stats := dag.StoreStats{Runs: make(map[dag.RunState]int64, len(states))}
	for len(counts) > 0 {
		for i, state := range states {
			if n := counts[i].Val(); n > 0 {
				stats.Runs[state] += n
			}
		}
		stats.Running += counts[len(states)].Val()
		stats.DeadLetters += counts[len(states)+1].Val()
		counts = counts[len(states)+2:]
	}
	if stats.Lag, err = s.lag(ctx); err != nil {
		return dag.StoreStats{}, fmt.Errorf("age of the oldest agenda entry: %w", err)
	}
	return stats, nil
}

// lagPage is among how many entries of a partition that are due the oldest is looked for that is no purge.
const lagPage = 100

// lag is the age of the oldest agenda entry that is due, over all partitions. Retention does not count.
func (s *Store) lag(ctx context.Context) (time.Duration, error) {
	calls := make([]call, dag.Partitions)
	for p := range calls {
		calls[p] = s.call("due", place{partition: p}, nil, lagPage, 0)
	}
	replies, err := s.runAll(ctx, calls)
	if err != nil {
		return 0, err
	}
	var worst time.Duration
	for i, r := range replies {
		p, err := readDue(r, i)
		if err != nil {
			return 0, err
		}
		worst = max(worst, p.due.Lag)
	}
	return worst, nil
}
