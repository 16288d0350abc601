package enginetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Check returns every invariant that a normalized state breaks, joined, or nil. They hold between any two transitions:
//   - active counts the active steps of a run, completed those that succeeded or were skipped
//   - a run succeeded if and only if all its steps completed; a run that has not ended has an active step and, unless it is paused, its deadline
//     in the agenda; a paused one has the rest of its time instead
//   - an ended run has nothing in agenda, claims and doubts but, when it is not kept for ever, the end of its retention
//   - a queued step has either a send entry of its epoch or a doubt, and a retrying step has a doubt; in a paused run they have none
//   - agenda, claims, doubts and dlq hold nothing else: claims are the running steps with the ends of their leases, dlq the failed ones of runs that nobody cancelled
//   - the lists hold each run once, at its place
//   - a claim belongs to a running step, a look that found a task active to a queued or retrying one, and every settled step has an end
//   - the counts of settled parents agree with the states of the parents, and no step was ever queued before all its parents completed
//
// The last two and the number of steps need the run's graph; runs of graphs that are not given are not tested for them.
func Check(s State, graphs ...*dag.Graph) error {
	c := checker{state: &s, graphs: map[string]*dag.Graph{}, entries: map[string]bool{}}
	for _, g := range graphs {
		c.graphs[g.Digest] = g
	}
	for _, id := range slices.Sorted(maps.Keys(s.Runs)) {
		c.run(id)
	}
	c.leftovers()
	c.lists()
	var broken []error
	for _, b := range c.broken {
		broken = append(broken, errors.New(b.What))
	}
	return errors.Join(broken...)
}

type checker struct {
	state   *State
	graphs  map[string]*dag.Graph
	entries map[string]bool // of agenda, claims, doubts and dlq, with the name of the set in front: those that have a reason
	about   string          // the run that is looked at
	broken  []dag.Mismatch
}

func (c *checker) require(holds bool, format string, args ...any) {
	if !holds {
		c.broken = append(c.broken, dag.Mismatch{Run: c.about, What: fmt.Sprintf(format, args...)})
	}
}

func (f Fields) number(name string) int64 {
	n, err := strconv.ParseInt(f[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (f Fields) step() dag.StepState {
	if f["state"] == "" {
		return dag.StepPending
	}
	return dag.StepState(f["state"])
}

func (c *checker) run(id string) {
	c.about = id
	run, steps := c.state.Runs[id], c.state.Steps[id]
	state := dag.RunState(run["state"])
	var active, completed, bytes int64
	for name, f := range steps {
		switch s := f.step(); {
		case s.Active():
			active++
		case s == dag.StepSucceeded, s == dag.StepSkipped:
			completed++
		}
		bytes += int64(len(c.state.Outputs[id][name]))
		c.step(id, name, f, state)
	}
	total := run.number("total")
	c.require(state.Valid(), "run %s: unknown state %q", id, state)
	c.require(run.number("active") == active, "run %s: active is %s, %d steps are", id, run["active"], active)
	c.require(run.number("completed") == completed, "run %s: completed is %s, %d steps did", id, run["completed"], completed)
	c.require((state == dag.RunSucceeded) == (completed == total), "run %s: %s with %d of %d steps completed", id, state, completed, total)
	c.require(run.number("bytes") == bytes+int64(len(c.state.Inputs[id])), "run %s: bytes is %s, input and outputs have others", id, run["bytes"])
	c.require(state.Ended() == (active == 0), "run %s: %s with %d active steps", id, state, active)
	c.require(state.Ended() == (run["finished_at"] != ""), "run %s: %s with finished_at %q", id, state, run["finished_at"])
	c.time(id, run, state)
	if g, ok := c.graphs[run["def"]]; ok {
		c.graph(id, g)
	}
}

// time tests what a run has in the agenda about itself: its deadline while it is open, the end of its retention when it has ended.
func (c *checker) time(id string, run Fields, state dag.RunState) {
	c.require((state == dag.RunPaused) == (run["remaining"] != ""), "run %s: %s with remaining %q", id, state, run["remaining"])
	keep := run.number("keep")
	if state == dag.RunFailed {
		keep = run.number("keep_failed")
	}
	switch {
	case state.Ended() && keep > 0:
		score, ok := c.use("agenda", c.state.Agenda, "purge:"+id)
		c.require(ok && score == run.number("finished_at")+keep, "run %s: %s, its retention in the agenda: %t at %d", id, state, ok, score)
	case state == dag.RunPaused:
		c.require(run["deadline"] == "", "run %s: %s with deadline %s", id, state, run["deadline"])
	case !state.Ended():
		score, ok := c.use("agenda", c.state.Agenda, "end:"+id)
		c.require(ok && score == run.number("deadline"), "run %s: %s, its deadline in the agenda: %t at %d", id, state, ok, score)
	}
}

// use says that an entry has a reason to be there, and returns its score.
func (c *checker) use(set string, entries map[string]int64, member string) (score int64, ok bool) {
	c.entries[set+" "+member] = true
	score, ok = entries[member]
	return score, ok
}

func (c *checker) step(id, name string, f Fields, run dag.RunState) {
	state, member := f.step(), id+":"+name
	c.require(state.Valid(), "step %s: unknown state %q", member, state)
	c.require((state == dag.StepRunning) == (f["claim"] != ""), "step %s: %s with claim %q", member, state, f["claim"])
	c.require((state == dag.StepRunning) == (f["lease"] != ""), "step %s: %s with lease %q", member, state, f["lease"])
	c.require(state.Settled() == (f["finished_at"] != ""), "step %s: %s with finished_at %q", member, state, f["finished_at"])
	c.require(f["due"] == "" || state == dag.StepQueued || state == dag.StepRetrying, "step %s: %s with due %s", member, state, f["due"])
	c.require(f["error"] != "" || state != dag.StepFailed && state != dag.StepRetrying, "step %s: %s without an error", member, state)
	c.require(f["error"] == "" || state != dag.StepSucceeded && state != dag.StepSkipped, "step %s: %s with an error", member, state)
	c.require(f["seen"] == "" || state == dag.StepQueued || state == dag.StepRetrying, "step %s: %s with seen %s", member, state, f["seen"])
	_, output := c.state.Outputs[id][name]
	c.require((state == dag.StepSucceeded) == output, "step %s: %s, has output: %t", member, state, output)
	switch state {
	case dag.StepQueued:
		_, send := c.use("agenda", c.state.Agenda, "send:"+member+":"+f["epoch"])
		_, doubt := c.use("doubts", c.state.Doubts, member)
		paused := run == dag.RunPaused
		c.require(send != doubt && !paused || !send && !doubt && paused, "step %s: queued, has send: %t, has doubt: %t", member, send, doubt)
	case dag.StepRetrying:
		_, doubt := c.use("doubts", c.state.Doubts, member)
		c.require(doubt != (run == dag.RunPaused), "step %s: retrying in a run that is %s, has doubt: %t", member, run, doubt)
	case dag.StepRunning:
		score, ok := c.use("claims", c.state.Claims, member)
		c.require(ok && score == f.number("lease"), "step %s: running, lease %s, in claims: %t at %d", member, f["lease"], ok, score)
	case dag.StepFailed:
		if run == dag.RunCancelling || run == dag.RunCancelled {
			break // nobody can retry it any more
		}
		score, ok := c.use("dlq", c.state.DLQ, member)
		c.require(ok && score == f.number("finished_at"), "step %s: failed at %s, in dlq: %t at %d", member, f["finished_at"], ok, score)
	default:
	}
}

func (c *checker) graph(id string, g *dag.Graph) {
	steps := c.state.Steps[id]
	c.require(c.state.Runs[id].number("total") == int64(len(g.Nodes)), "run %s: total is %s", id, c.state.Runs[id]["total"])
	for name := range steps {
		_, ok := g.Node(name)
		c.require(ok, "step %s:%s is not in the run's graph", id, name)
	}
	for i := range g.Nodes {
		node := &g.Nodes[i]
		var want dag.Tally
		for _, parent := range node.Parents {
			if outcome, ok := steps[parent].step().Outcome(); ok {
				want = want.Add(outcome, 1)
			}
		}
		f := steps[node.Name]
		got := dag.Tally{OK: int(f.number("ok")), Skip: int(f.number("skip")), Fail: int(f.number("fail"))}
		c.require(got == want, "step %s:%s: counts %+v of its parents, they are %+v", id, node.Name, got, want)
		c.require(f.number("epoch") == 0 || want.OK+want.Skip == len(node.Parents), "step %s:%s was queued before its parents completed", id, node.Name)
		never := f.step() == dag.StepPending || f.step() == dag.StepCancelled && f.number("epoch") == 0
		c.require((f.number("epoch") == 0) == never, "step %s:%s: %s with epoch %q", id, node.Name, f.step(), f["epoch"])
	}
}

// leftovers finds entries without a reason.
func (c *checker) leftovers() {
	for set, entries := range map[string]map[string]int64{
		"agenda": c.state.Agenda, "claims": c.state.Claims, "doubts": c.state.Doubts, "dlq": c.state.DLQ,
	} {
		for member := range entries {
			c.about = runOf(member)
			c.require(c.entries[set+" "+member], "%s: nothing has a reason for %s", set, member)
		}
	}
	for _, record := range c.state.Idem {
		c.require(c.state.Runs[record["run"]] != nil, "idem: there is no run %s", record["run"])
	}
}

// runOf is the run of a member of agenda, claims, doubts or dlq.
func runOf(member string) string {
	for part := range strings.SplitSeq(member, ":") {
		if _, err := dag.RunPartition(part); err == nil {
			return part
		}
	}
	return ""
}

// lists compares the list indexes with the runs.
func (c *checker) lists() {
	places := map[string]int{}
	for list, members := range c.state.Index {
		for id, score := range members {
			run := c.state.Runs[id]
			kind, value, _ := strings.Cut(list, ":")
			places[kind+" "+id]++
			c.require(score == run.number("created_at"), "idx:%s: %s at %d, created at %s", list, id, score, run["created_at"])
			c.require(kind == "all" || kind == "label" || run[kind] == value, "idx:%s: run %s has %s %q", list, id, kind, run[kind])
		}
	}
	for id := range c.state.Runs {
		for _, kind := range []string{"all", "state", "workflow"} {
			c.require(places[kind+" "+id] == 1, "run %s is in %d lists of idx:%s", id, places[kind+" "+id], kind)
		}
	}
}
