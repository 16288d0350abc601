package enginetest

import (
	"encoding/json"
	"slices"

	"github.com/stepwell/stepwell/pkg/dag"
)

// playOperator makes an operator's request, mostly one that fits, or makes an earlier one again.
func (g *gambler) playOperator(c command) played {
	req, ok := pick(g.ops[c.Do], c.Pick)
	if !ok || c.How%3 > 0 {
		if req, ok = g.operatorRequest(c); !ok {
			return false
		}
		g.ops[c.Do] = append(g.ops[c.Do], req)
	}
	switch c.Do {
	case "retry":
		g.retry(req)
	case "skip":
		g.skip(req)
	case "resolve":
		g.resolve(req)
	case "cancel":
		g.cancel(req)
	case "pause":
		g.pause(req)
	default:
		g.resume(req)
	}
	return true
}

func (g *gambler) operatorRequest(c command) (req dag.OperatorRequest, ok bool) {
	p, ok := g.operatorPlace(c)
	if !ok {
		return req, false
	}
	req = g.operator(p.step)
	if c.Do == "resolve" {
		req.Output = json.RawMessage(`{"by":"hand"}`)
		if c.How%7 == 5 {
			req.Output = make(json.RawMessage, dag.MaxRunBytes)
		}
	}
	switch {
	case c.How%5 == 2:
		req.Step = ""
	case c.How%11 == 3:
		req.Run = dag.NewRunID(5, "00000000000000000000000ZZZ")
	case c.How%11 == 4:
		req.Step = "nosuchstep"
	}
	return req, true
}

// operatorPlace is a step that the verb is made for, or, every fifth time, any. A run's verb takes the run of any step that is active.
func (g *gambler) operatorPlace(c command) (place, bool) {
	states := map[action][]dag.StepState{
		"retry":   {dag.StepFailed, dag.StepRetrying},
		"skip":    {dag.StepFailed, dag.StepRetrying, dag.StepQueued},
		"resolve": {dag.StepFailed, dag.StepRetrying, dag.StepQueued},
	}[c.Do]
	if states == nil {
		states = []dag.StepState{dag.StepQueued, dag.StepRunning, dag.StepRetrying}
	}
	switch {
	case c.How%5 == 1 && c.Do == "cancel": // most likely in a run that has ended
		states = []dag.StepState{dag.StepSucceeded, dag.StepFailed, dag.StepSkipped, dag.StepCancelled}
	case c.How%5 == 1:
		states = dag.AllStepStates()
	case c.Do == "resume":
		return g.inPaused(c.Pick)
	}
	return g.at(c.Pick, states...)
}

// inPaused makes a step of a paused run the one that the script is about.
func (g *gambler) inPaused(n int) (p place, ok bool) {
	p, ok = pick(slices.DeleteFunc(g.places(dag.AllStepStates()...), func(p place) bool {
		return g.state.Runs[p.run]["state"] != string(dag.RunPaused)
	}), n)
	g.run, g.graph = p.run, p.graph
	return p, ok
}
