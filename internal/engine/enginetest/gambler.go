package enginetest

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// maxRuns bounds the runs of a sequence, so that commands meet the same ones again.
const maxRuns = 6

// gambler plays drawn commands. It chooses by the state after the last one, and remembers what it once asked for, to ask again.
type gambler struct {
	*script
	creates []dag.NewRun
	begins  []dag.BeginRequest
	ops     map[action][]dag.OperatorRequest
}

// place is a step of a run, as the state has it.
type place struct {
	run, step string
	graph     *dag.Graph
	fields    Fields
}

// places lists the steps in one of the states, in a fixed order.
func (g *gambler) places(states ...dag.StepState) []place {
	var list []place
	for _, run := range g.runs() {
		graph := g.graphOf(run)
		for i := range graph.Nodes {
			name := graph.Nodes[i].Name
			if f := g.state.Steps[run][name]; slices.Contains(states, f.step()) {
				list = append(list, place{run, name, graph, f})
			}
		}
	}
	return list
}

func (g *gambler) runs() []string { return slices.Sorted(maps.Keys(g.state.Runs)) }

func (g *gambler) graphOf(run string) *dag.Graph {
	return g.graphs[slices.IndexFunc(g.graphs, func(graph *dag.Graph) bool { return graph.Digest == g.state.Runs[run]["def"] })]
}

// pick returns one of the elements; ok is false when there are none.
func pick[T any](list []T, n int) (one T, ok bool) {
	if len(list) == 0 {
		return one, false
	}
	return list[n%len(list)], true
}

// rare keeps the places in runs that are paused or cancelling and those of steps that crashed, if there are any.
func (g *gambler) rare(list []place) []place {
	few := slices.DeleteFunc(slices.Clone(list), func(p place) bool {
		state := dag.RunState(g.state.Runs[p.run]["state"])
		return p.fields["crashes"] == "" && state != dag.RunPaused && state != dag.RunCancelling
	})
	if len(few) > 0 {
		return few
	}
	return list
}

// at makes a place the one that the script is about; ok is false when there is no place in these states.
// Every other time it is a rare one.
func (g *gambler) at(n int, states ...dag.StepState) (p place, ok bool) {
	list := g.places(states...)
	if n%2 == 0 {
		list = g.rare(list)
	}
	p, ok = pick(list, n/2)
	g.run, g.graph = p.run, p.graph
	return p, ok
}

// played tells whether there was anything to do the command to.
type played bool

func (g *gambler) play(c command) played {
	switch c.Do {
	case "tick":
		g.advance(clockSteps()[c.How%len(clockSteps())])
		return true
	case "create":
		return g.playCreate(c)
	case "begin", "begin wrongly":
		return g.playBegin(c)
	case "heartbeat":
		return g.playHeartbeat(c)
	case "complete", "fail", "release", "too big":
		return g.playAnswer(c)
	case "answer wrongly":
		return g.playOldAnswer(c)
	case "reissue", "take over":
		return g.playReissue(c)
	case "retry", "skip", "resolve", "cancel", "pause", "resume":
		return g.playOperator(c)
	case "expire":
		return g.playExpire(c)
	default:
		return g.playSweeper(c)
	}
}

func (g *gambler) playCreate(c command) played {
	if again, ok := pick(g.creates, c.Pick); ok && (c.How%6 == 0 || len(g.creates) >= maxRuns) {
		if again.Key != "" && c.How%8 > 0 { // another caller with this key, with the same body or another
			again = g.newRun(again.Graph, func(r *dag.NewRun) { r.Key, r.Fingerprint, r.Timeout = again.Key, "f"+strconv.Itoa(c.How%2), time.Hour })
		}
		_, _ = g.create(again)
		return true
	}
	run := g.newRun(g.graphs[c.Pick%2], func(r *dag.NewRun) {
		r.Timeout = []time.Duration{time.Hour, time.Minute}[c.How%5/4]
		switch {
		case c.How%3 == 0: // one of a few keys, with one of two bodies
			r.Key, r.Fingerprint = "k"+strconv.Itoa(c.How/3%3), "f"+strconv.Itoa(c.How/9%5/4)
		case c.How%7 == 1:
			r.StartAt = g.now.Add(clockSteps()[c.How/7%len(clockSteps())])
			r.ID = dag.NewRunID(6, strings.Repeat("0", 20)+strconv.Itoa(100_000+g.count))
		}
		if c.How%3 > 0 {
			r.Keep, r.KeepFailed = time.Minute, []time.Duration{0, 3 * time.Minute}[c.How/3%2]
		}
		if c.How%4 == 1 {
			r.Labels = map[string]string{"tier": "gold", "é": "<&>"}
		}
	})
	if _, err := g.create(run); err == nil {
		g.creates = append(g.creates, run)
	}
	return true
}

// playBegin begins a step that waits for it, or one that does not, or with something wrong about the request.
func (g *gambler) playBegin(c command) played {
	if again, ok := pick(g.begins, c.Pick); ok && c.Do == "begin wrongly" && c.How%6 == 0 {
		g.begin(again)
		return true
	}
	states := []dag.StepState{dag.StepQueued, dag.StepRetrying}
	if c.Do == "begin wrongly" && c.How%6 >= 4 {
		states = dag.AllStepStates()
	}
	p, ok := g.at(c.Pick, states...)
	if !ok {
		return false
	}
	req := g.request(p.step, g.nonce())
	req.Alone = c.How%3 == 0
	if c.Do == "begin wrongly" {
		switch c.How % 6 {
		case 1:
			req.Epoch += c.How%2*2 - 1
		case 2:
			req.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
		case 3:
			req.Def = "0123456789abcdef0123456789abcdef"
		}
	}
	if g.begin(req).Verdict == dag.VerdictRun {
		g.begins = append(g.begins, req)
	}
	return true
}

// anyClaim is a claim that was once made, and is most likely not any more.
func (g *gambler) anyClaim(n int) (ref dag.ClaimRef, ok bool) {
	req, ok := pick(g.begins, n)
	return dag.ClaimRef{Run: req.Run, Step: req.Step, Def: req.Def, Nonce: req.Nonce}, ok
}

func (g *gambler) playHeartbeat(c command) played {
	ref, ok := g.anyClaim(c.Pick)
	if p, running := g.at(c.Pick, dag.StepRunning); running && c.How%2 == 0 {
		ref, ok = g.ref(p.step, p.fields["claim"]), true
	}
	if ok {
		g.heartbeat(dag.HeartbeatRequest{ClaimRef: ref, TTL: ttl, Leaving: c.How%5 == 0})
	}
	return played(ok)
}

func (g *gambler) playAnswer(c command) played {
	p, ok := g.at(c.Pick, dag.StepRunning)
	if ok {
		g.answer(c, g.ref(p.step, p.fields["claim"]))
	}
	return played(ok)
}

// playOldAnswer sends what another command would send, under a claim that most likely does not hold.
func (g *gambler) playOldAnswer(c command) played {
	ref, ok := g.anyClaim(c.Pick)
	if c.How%7 == 0 {
		ref.Nonce = g.nonce()
	}
	if ok {
		c.Do = []action{"complete", "fail", "release"}[c.How%3]
		g.answer(c, ref)
	}
	return played(ok)
}

func (g *gambler) answer(c command, ref dag.ClaimRef) {
	switch c.Do {
	case "complete":
		g.complete(dag.CompleteRequest{ClaimRef: ref, Output: json.RawMessage(`{"n":` + strconv.Itoa(c.How) + `.0}`)})
	case "too big":
		g.complete(dag.CompleteRequest{ClaimRef: ref, Output: make(json.RawMessage, dag.MaxRunBytes)})
	case "fail":
		cause := dag.StepError{Code: "C" + strconv.Itoa(c.How%4), Message: "é <fails> \"so\"", Retryable: c.How%4 > 0, Refused: c.How%8 == 0}
		g.fail(dag.FailRequest{ClaimRef: ref, Error: cause, Delay: max(0, clockSteps()[c.How/8%len(clockSteps())])})
	default:
		g.release(ref)
	}
}

// playReissue reissues a step as it is, or as it no longer is. A takeover mostly waits for the end of the lease.
func (g *gambler) playReissue(c command) played {
	states := []dag.StepState{dag.StepQueued, dag.StepRetrying}
	if c.Do == "take over" {
		states = []dag.StepState{dag.StepRunning}
	}
	p, ok := g.at(c.Pick, states...)
	if !ok {
		return false
	}
	if lease := time.UnixMilli(p.fields.number("lease")); c.Do == "take over" && c.How%5 > 0 && lease.After(g.now) {
		g.advance(lease.Sub(g.now))
	}
	req := g.asSeen(p.step, c.How%7 > 0, []time.Duration{0, 0, 5 * time.Second}[c.How%3])
	switch c.How % 16 {
	case 1:
		req.Epoch++
	case 2:
		req.Nonce = "another"
	case 3:
		req.State = dag.StepWaiting
	}
	g.reissue(req)
	return true
}

func (g *gambler) playExpire(c command) played {
	run, ok := pick(g.runs(), c.Pick)
	if c.How%8 == 0 {
		run, ok = dag.NewRunID(5, "00000000000000000000000ZZZ"), true
	}
	if !ok {
		return false
	}
	if deadline := time.UnixMilli(g.state.Runs[run].number("deadline")); c.How%4 == 1 && deadline.After(g.now) {
		g.advance(deadline.Sub(g.now))
	}
	g.expire(run)
	return true
}
