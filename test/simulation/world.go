package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	processes   = 3
	maxRuns     = 10               // of an episode
	keep        = 15 * time.Minute // after a run's end
	queueName   = "sim"
	handlerName = "sim.work"
)

// Protections that a control does without.
const (
	offSweeper = "sweeper" // nobody sweeps
	offFence   = "fence"   // whoever completes a step is believed to hold its claim
	offDoubts  = "doubts"  // a step whose task was lost is not looked after
)

// world is one installation.
type world struct {
	off   string
	mu    sync.Mutex
	store *enginetest.Memory
	queue *queue
	procs []*process

	now   time.Time     // everybody's clock, but for a process's skew
	ahead time.Duration // of Redis's clock

	graphs   []*dag.Graph
	accepted map[string]time.Time // run → when the start was answered
	over     map[string]bool      // runs that were seen at their end, and may be purged
	undone   map[string]bool      // runs whose acceptance was rolled back
	dead     map[string]bool      // nonces of claims that were taken over

	back *snapshot // to roll back to

	made, nonces, ids int
	orders            map[string]asynqueue.Order // the wrapper's verdict table
	seen              map[string]int             // what was met, for the coverage
	broke             error                      // the first thing that went wrong
}

// snapshot is the store and the queue as they once were.
type snapshot struct {
	at    time.Time
	store *enginetest.Snapshot
	queue *queue
}

func newWorld(off string) *world {
	w := &world{off: off, now: enginetest.Epoch(), accepted: map[string]time.Time{}, over: map[string]bool{}, undone: map[string]bool{}, dead: map[string]bool{}, orders: verdicts(), seen: map[string]int{}}
	w.store = enginetest.NewMemory(w.now)
	w.store.Follow(w.redisNow)
	w.queue = newQueue(w)
	for _, wf := range workflows() {
		g, err := dag.Compile(&wf)
		if err != nil {
			panic(fmt.Sprintf("compile %s: %v", wf.Name, err)) // wrong below
		}
		w.graphs = append(w.graphs, g)
	}
	for range processes {
		w.procs = append(w.procs, w.newProcess())
	}
	for _, wf := range workflows() {
		if err := w.procs[0].engine.Register(context.Background(), &wf, ""); err != nil {
			panic(fmt.Sprintf("register %s: %v", wf.Name, err)) // wrong below
		}
	}
	return w
}

// workflows are a line, a diamond and a pair without edges.
func workflows() []dag.Workflow {
	shapes := map[string][]string{
		"line":    {"a", "b<a", "c<b"},
		"diamond": {"a", "b<a", "c<a", "d<b,c"},
		"pair":    {"a", "b"},
	}
	var all []dag.Workflow
	for _, name := range []string{"line", "diamond", "pair"} {
		wf := dag.Workflow{
			Namespace: "sim", Name: name, Version: "1.0.0", Timeout: 2 * time.Hour, Keep: keep, KeepFailed: dag.Forever,
			Defaults: dag.Defaults{Queue: queueName, Retry: dag.RetryPolicy{MaxAttempts: 3, BaseDelay: 2 * time.Second}},
		}
		for _, text := range shapes[name] {
			step, parents, _ := strings.Cut(text, "<")
			s := dag.Step{Name: step, Handler: handlerName}
			if parents != "" {
				s.DependsOn = strings.Split(parents, ",")
			}
			wf.Steps = append(wf.Steps, s)
		}
		all = append(all, wf)
	}
	return all
}

func (w *world) redisNow() time.Time { return w.now.Add(w.ahead) }

// ulid numbers runs and requests, so that an episode can be played again.
func (w *world) ulid() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	return fmt.Sprintf("%026d", w.ids)
}

// met counts what the coverage asks for.
func (w *world) met(what ...string) { w.seen[strings.Join(what, " ")]++ }

// wrong notes the first thing that must not be.
func (w *world) wrong(format string, args ...any) {
	if w.broke == nil {
		w.broke = fmt.Errorf("at %s: "+format, append([]any{w.now.Format(time.TimeOnly)}, args...)...)
	}
}

func (w *world) hooks() engine.Hooks {
	return engine.Hooks{
		Looked: func(state dag.StepState, found engine.TaskState, action engine.Action) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.met("look", string(state), string(found), string(action))
		},
		StepTaken: func(claim dag.DeadClaim, crash bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.dead[claim.Nonce] = true
			w.met("taken", fmt.Sprintf("crash=%t", crash))
		},
	}
}

// advance lets time go by, second by second, with all that happens by itself.
func (w *world) advance(d time.Duration) {
	for d > 0 {
		step := min(d, time.Second-time.Duration(w.now.Nanosecond()))
		w.now = w.now.Add(step)
		d -= step
		if w.now.Nanosecond() != 0 {
			continue
		}
		w.queue.tick()
		if w.now.Second() == 0 && w.now.Minute()%5 == 0 {
			w.noteEnds()
		}
		for i, p := range w.procs {
			if !p.alive && w.now.Sub(p.wakes) >= 0 {
				w.procs[i] = w.newProcess() // a supervisor starts it again
			}
			w.procs[i].second()
		}
	}
}

// start asks a process for a run, under a key that may have been used before, as a client does that heard nothing.
func (w *world) start(p *process, key, shape int, f fault) {
	if len(w.accepted)+len(w.undone) >= maxRuns {
		key %= maxRuns // an old one
	}
	p.plan("CreateRun", f)
	started, err := p.engine.Start(context.Background(), engine.StartRequest{
		Workflow: "sim/" + w.graphs[shape%len(w.graphs)].Name, Key: fmt.Sprintf("key-%d", key), Input: json.RawMessage(`{"n":1}`),
	})
	if err != nil {
		return
	}
	if _, known := w.accepted[started.Run.ID]; !known {
		w.accepted[started.Run.ID] = w.now
	}
	delete(w.undone, started.Run.ID)
}

func (w *world) remember() {
	w.back = &snapshot{at: w.now, store: w.store.Snapshot(), queue: w.queue.clone()}
}

// rollBack takes the last moments back: of the store, the queue or both, as the loss of one server or another does.
func (w *world) rollBack(what int) {
	if w.back == nil || w.now.Sub(w.back.at) > time.Second {
		return
	}
	w.met("rollback", []string{"store", "queue", "both"}[what%3])
	if what%3 != 1 {
		w.store.Restore(w.back.store)
		clear(w.dead) // some live again
		for id, at := range w.accepted {
			if !at.Before(w.back.at) {
				w.undone[id] = true
				delete(w.accepted, id)
			}
		}
		w.noteEnds()
	}
	if what%3 != 0 {
		w.queue = w.back.queue
	}
	w.back = nil
}

// handlerBegins is told of each handler that is started.
func (w *world) handlerBegins(c *dag.Claim) {
	view, err := w.store.Run(context.Background(), c.Run)
	if err != nil {
		w.wrong("a handler began for step %s of run %s: %v", c.Step, c.Run, err)
		return
	}
	graph := w.graphOf(view.Def)
	node, _ := graph.Node(c.Step)
	for i := range view.Steps {
		s := &view.Steps[i]
		if node != nil && slices.Contains(node.Parents, s.Name) && s.State != dag.StepSucceeded && s.State != dag.StepSkipped {
			w.wrong("step %s of run %s began while its parent %s was %s", c.Step, c.Run, s.Name, s.State)
		}
	}
}
