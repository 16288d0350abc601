package simulation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	checkEvery = 16        // actions
	endsWithin = time.Hour // after everything was mended; deadlines are further away
)

func (w *world) graphOf(digest string) *dag.Graph {
	i := slices.IndexFunc(w.graphs, func(g *dag.Graph) bool { return g.Digest == digest })
	return w.graphs[i]
}

// check looks at the whole state.
func (w *world) check() {
	state := w.store.Dump()
	if err := enginetest.Check(state, w.graphs...); err != nil {
		w.wrong("the state breaks its rules: %v", err)
	}
	w.noteEnds()
	for run := range w.accepted {
		if _, ok := state.Runs[run]; !ok && !w.over[run] {
			w.wrong("run %s was accepted and is not there", run)
		}
	}
	for run, lines := range state.Logs {
		done := map[string]int{}
		for _, line := range lines {
			for _, event := range []string{"succeeded", "skipped", "resolved"} {
				if parts := strings.Split(line, `"`); len(parts) > 3 && parts[1] == event {
					done[parts[3]]++
				}
			}
		}
		for step, n := range done {
			if n > 1 {
				w.wrong("step %s of run %s was done %d times", step, run, n)
			}
		}
	}
}

// end mends everything, lets time go by, and demands that all runs end.
func (w *world) end() {
	for _, p := range w.procs {
		p.cut, p.leaving, p.wakes, p.skew = false, false, w.now, 0
	}
	clear(w.queue.paused)
	w.queue.stalls = w.now
	for waited := time.Duration(0); waited < endsWithin && w.broke == nil; waited += time.Second {
		w.work()
		w.advance(time.Second)
		if w.ended() {
			w.check()
			return
		}
	}
	w.check()
	for _, run := range w.open() {
		view, _ := w.store.Run(context.Background(), run) // it was there a moment ago
		var steps []string
		for _, s := range view.Steps {
			steps = append(steps, fmt.Sprintf("%s=%s@%d", s.Name, s.State, s.Epoch))
		}
		w.wrong("run %s is %s an hour after everything was mended: %s", run, view.State, strings.Join(steps, " "))
	}
}

// work lets every process do all that it can do now, with handlers that succeed.
func (w *world) work() {
	for _, p := range w.working() {
		for _, t := range w.queue.waiting() {
			if len(p.slots) < 4 {
				w.playProcess(p, action{Do: "deliver", How: slices.Index(w.queue.waiting(), t)})
			}
		}
		for _, s := range slices.Clone(p.slots) {
			for range 3 {
				if slices.Contains(p.slots, s) {
					p.goOn(s, passes, 0)
				}
			}
		}
	}
	for _, run := range w.open() {
		if view, err := w.store.Run(context.Background(), run); err == nil && view.State == dag.RunPaused {
			w.operate(w.procs[0], action{Pick: 5, How: slices.Index(slices.Sorted(maps.Keys(w.accepted)), run)})
		}
	}
}

// open lists the accepted runs that have not ended.
func (w *world) open() []string {
	var list []string
	for _, run := range slices.Sorted(maps.Keys(w.accepted)) {
		view, err := w.store.Run(context.Background(), run)
		if err == nil && !view.State.Ended() || err != nil && !w.over[run] {
			list = append(list, run)
		}
	}
	return list
}

// noteEnds notes which runs have ended: from then on they may be gone.
func (w *world) noteEnds() {
	for run := range w.accepted {
		if view, err := w.store.Run(context.Background(), run); err == nil {
			w.over[run] = view.State.Ended()
		}
	}
}

func (w *world) ended() bool { return len(w.open()) == 0 }
