package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// presenceTTL bounds the age of the list of workers that warnings and status are made from.
const presenceTTL = 5 * time.Second

// Unserved is a queue, or a handler on a queue, that registered workflows need and no live worker has.
type Unserved struct {
	Queue   string
	Handler string // "" when no worker serves the queue at all
}

// Status is what an operator sees of the whole installation.
type Status struct {
	Redis    dag.StoreInfo
	Stats    dag.StoreStats
	Queues   []QueueInfo
	Workers  []dag.WorkerInfo // alive
	Unserved []UnservedSince
}

// UnservedSince is an [Unserved] with the time since which this process has seen it.
type UnservedSince struct {
	Unserved
	Since time.Time
}

// Announce tells the other processes of a worker every heartbeat until ctx ends, then signs it off: what was running there is no crash.
// info is asked each time.
func (e *Engine) Announce(ctx context.Context, every time.Duration, info func() dag.WorkerInfo) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		w := info()
		w.TTL = e.cfg.TTL
		if err := e.store.PutWorker(ctx, w, false); err != nil && ctx.Err() == nil {
			e.cfg.Log.WarnContext(ctx, "worker not announced", "worker", w.ID, "err", err)
		}
		select {
		case <-ctx.Done():
			return e.signOff(ctx, info())
		case <-ticker.C:
		}
	}
}

func (e *Engine) signOff(ctx context.Context, w dag.WorkerInfo) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	w.TTL = e.cfg.TTL
	if err := e.store.PutWorker(ctx, w, true); err != nil {
		return fmt.Errorf("sign worker %s off: %w", w.ID, err)
	}
	return nil
}

// Missing names the handlers that registered workflows need on the queues and that are not among those given, as queue/handler.
func (e *Engine) Missing(ctx context.Context, queues, handlers []string) ([]string, error) {
	needed, err := e.needs(ctx)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, n := range needed {
		if slices.Contains(queues, n.Queue) && !slices.Contains(handlers, n.Handler) {
			missing = append(missing, n.Queue+"/"+n.Handler)
		}
	}
	return missing, nil
}

// Servable lists the queues for which the handlers are all that registered workflows use there.
func (e *Engine) Servable(ctx context.Context, handlers []string) ([]string, error) {
	needed, err := e.needs(ctx)
	if err != nil {
		return nil, err
	}
	servable := map[string]bool{}
	for _, n := range needed {
		so, seen := servable[n.Queue]
		servable[n.Queue] = (so || !seen) && slices.Contains(handlers, n.Handler)
	}
	maps.DeleteFunc(servable, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(servable)), nil
}

// needs lists every queue and handler that the registered workflows use, with each profile on its own applied.
func (e *Engine) needs(ctx context.Context) ([]Unserved, error) {
	regs, err := e.store.Workflows(ctx)
	if err != nil {
		return nil, fmt.Errorf("registered workflows: %w", err)
	}
	seen := map[Unserved]bool{}
	for _, reg := range regs {
		choices := [][]string{nil}
		for name := range reg.Workflow.Profiles {
			choices = append(choices, []string{name})
		}
		for _, profiles := range choices {
			g, err := e.graphs.compile(reg, profiles)
			if err != nil {
				return nil, fmt.Errorf("registered workflow %s: %w", reg.Workflow.FullName(), err)
			}
			for i := range g.Nodes {
				seen[Unserved{Queue: g.Nodes[i].Queue, Handler: g.Nodes[i].Handler}] = true
			}
		}
	}
	out := make([]Unserved, 0, len(seen))
	for u := range seen {
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b Unserved) int {
		if c := strings.Compare(a.Queue, b.Queue); c != 0 {
			return c
		}
		return strings.Compare(a.Handler, b.Handler)
	})
	return out, nil
}

// Status gathers what there is to see. It returns [ErrUnavailable] when Redis cannot be asked.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	var (
		s   Status
		err error
	)
	if s.Redis, err = e.store.Info(ctx); err != nil {
		return s, fmt.Errorf("redis: %w", err)
	}
	if s.Stats, err = e.store.Stats(ctx); err != nil {
		return s, fmt.Errorf("runs: %w", err)
	}
	if s.Queues, err = e.queue.Queues(ctx); err != nil {
		return s, fmt.Errorf("queues: %w", err)
	}
	workers, now, err := e.store.Workers(ctx)
	if err != nil {
		return s, fmt.Errorf("workers: %w", err)
	}
	s.Workers = slices.DeleteFunc(workers, func(w dag.WorkerInfo) bool { return !w.Alive(now) })
	if s.Unserved, err = e.Unserved(ctx, s.Workers, now); err != nil {
		return s, err
	}
	return s, nil
}

// Unserved lists what registered workflows need and none of the live workers has, with the time since which this process has seen it.
func (e *Engine) Unserved(ctx context.Context, live []dag.WorkerInfo, now time.Time) ([]UnservedSince, error) {
	needed, err := e.needs(ctx)
	if err != nil {
		return nil, err
	}
	e.unservedMu.Lock()
	defer e.unservedMu.Unlock()
	current := map[Unserved]time.Time{}
	var out []UnservedSince
	for _, n := range needed {
		u, ok := unservedBy(live, n)
		if ok {
			continue
		}
		if _, listed := current[u]; listed {
			continue
		}
		since, known := e.unserved[u]
		if !known {
			since = now
		}
		current[u] = since
		out = append(out, UnservedSince{Unserved: u, Since: since})
	}
	e.unserved = current
	return out, nil
}

// unservedBy reports whether a live worker has the handler on the queue, and what is missing otherwise.
func unservedBy(live []dag.WorkerInfo, need Unserved) (missing Unserved, served bool) {
	missing = Unserved{Queue: need.Queue}
	for i := range live {
		if !slices.Contains(live[i].Queues, need.Queue) {
			continue
		}
		if slices.Contains(live[i].Handlers, need.Handler) {
			return Unserved{}, true
		}
		missing = need
	}
	return missing, false
}

// unservedQueues warns of the graph's queues that no live worker serves. It warns of nothing when the workers cannot be listed.
func (e *Engine) unservedQueues(ctx context.Context, g *dag.Graph) []string {
	live, err := e.presence.get(ctx, e)
	if err != nil {
		return nil
	}
	var warnings []string
	seen := map[string]bool{}
	for i := range g.Nodes {
		q := g.Nodes[i].Queue
		if seen[q] {
			continue
		}
		seen[q] = true
		if !slices.ContainsFunc(live, func(w dag.WorkerInfo) bool { return slices.Contains(w.Queues, q) }) {
			warnings = append(warnings, fmt.Sprintf("no worker serves queue %s; the run waits until one does", q))
		}
	}
	return warnings
}

// presenceCache spares starts a read of the workers. It also keeps that they could not be read: starts take turns, and must not wait in turn.
type presenceCache struct {
	mu   sync.Mutex
	live []dag.WorkerInfo
	err  error
	at   time.Time
}

func (c *presenceCache) get(ctx context.Context, e *Engine) ([]dag.WorkerInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || e.cfg.Now().Sub(c.at) >= presenceTTL {
		workers, redisNow, err := e.store.Workers(ctx)
		c.live, c.err = slices.DeleteFunc(workers, func(w dag.WorkerInfo) bool { return !w.Alive(redisNow) }), err
		c.at = e.cfg.Now()
	}
	return c.live, c.err
}
