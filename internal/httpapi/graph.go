package httpapi

import (
	"encoding/json"

	"github.com/stepwell/stepwell/pkg/dag"
)

type (
	graphBody struct {
		Workflow string     `json:"workflow" doc:"namespace/name"`
		Version  string     `json:"version"`
		Digest   string     `json:"digest" doc:"Names the graph's content."`
		Profiles []string   `json:"profiles,omitempty" doc:"Applied, in order."`
		Timeout  string     `json:"timeout" doc:"Of a whole run." example:"1h0m0s"`
		Nodes    []nodeBody `json:"nodes" doc:"In topological order."`
	}
	nodeBody struct {
		Name      string          `json:"name"`
		State     string          `json:"state,omitempty" doc:"Of a run's step."`
		Handler   string          `json:"handler"`
		Queue     string          `json:"queue"`
		DependsOn []string        `json:"depends_on"`
		Children  []string        `json:"children"`
		Timeout   string          `json:"timeout" example:"30s"`
		Retry     retryBody       `json:"retry"`
		Config    json.RawMessage `json:"config,omitempty"`
	}
	retryBody struct {
		MaxAttempts int     `json:"max_attempts"`
		Backoff     string  `json:"backoff" enum:"constant,linear,exponential"`
		BaseDelay   string  `json:"base_delay" example:"1s"`
		MaxDelay    string  `json:"max_delay" example:"5m0s"`
		Jitter      float64 `json:"jitter"`
	}
)

// graphOf writes a graph; states are those of a run, or nil.
func graphOf(g *dag.Graph, states map[string]dag.StepState) graphBody {
	out := graphBody{
		Workflow: g.FullName(), Version: g.Version, Digest: g.Digest, Profiles: g.Profiles,
		Timeout: g.Timeout.String(), Nodes: make([]nodeBody, len(g.Nodes)),
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		out.Nodes[i] = nodeBody{
			Name: n.Name, State: string(states[n.Name]), Handler: n.Handler, Queue: n.Queue,
			DependsOn: list(n.Parents), Children: list(n.Children), Timeout: n.Timeout.String(), Config: n.Config,
			Retry: retryBody{
				MaxAttempts: n.Retry.MaxAttempts, Backoff: string(n.Retry.Backoff),
				BaseDelay: n.Retry.BaseDelay.String(), MaxDelay: n.Retry.MaxDelay.String(), Jitter: n.Retry.Jitter,
			},
		}
	}
	return out
}

func statesOf(v *dag.RunView) map[string]dag.StepState {
	states := make(map[string]dag.StepState, len(v.Steps))
	for i := range v.Steps {
		states[v.Steps[i].Name] = v.Steps[i].State
	}
	return states
}

// draw writes a graph in one of the formats, with its content type.
func draw(format string, g *dag.Graph, states map[string]dag.StepState) (contentType string, body []byte, err error) {
	switch format {
	case "mermaid":
		return "text/plain; charset=utf-8", []byte(dag.Mermaid(g, states)), nil
	case "dot":
		return "text/vnd.graphviz; charset=utf-8", []byte(dag.DOT(g, states)), nil
	case "svg":
		return "image/svg+xml", []byte(dag.SVG(g, states)), nil
	}
	body, err = json.Marshal(graphOf(g, states))
	return "application/json", body, err
}
