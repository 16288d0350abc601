package redisstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// frozenStep is field step:<step> of a definition: what scripts and begin need of a step.
type frozenStep struct {
	Handler     string       `json:"handler"`
	Queue       string       `json:"queue"`
	Timeout     int64        `json:"timeout"` // ms
	MaxAttempts int          `json:"max_attempts"`
	Policy      frozenPolicy `json:"policy"`
	Parents     []string     `json:"parents"`
}

type frozenPolicy struct {
	Backoff   dag.Backoff `json:"backoff"`
	BaseDelay int64       `json:"base_delay"` // ms
	MaxDelay  int64       `json:"max_delay"`  // ms
	Jitter    float64     `json:"jitter"`
}

// frozenChild is an element of children:<step>, and of roots.
type frozenChild struct {
	Name    string `json:"name"`
	Parents int    `json:"parents"` // how many it has
	Handler string `json:"handler"`
	Queue   string `json:"queue"`
}

// freeze writes a graph as the fields and values of a def hash.
func freeze(g *dag.Graph) ([]any, error) {
	byName := make(map[string]*dag.Node, len(g.Nodes))
	var names []string
	var roots []frozenChild
	for i := range g.Nodes {
		n := &g.Nodes[i]
		byName[n.Name] = n
		names = append(names, n.Name)
		if len(n.Parents) == 0 {
			roots = append(roots, frozenChild{Name: n.Name, Handler: n.Handler, Queue: n.Queue})
		}
	}
	graph, err := g.MarshalJSON() // itself, because json.Marshal would escape its text
	f := fields{err: err}
	f.add("total", len(g.Nodes))
	f.add("graph", json.RawMessage(graph))
	f.add("steps", names)
	f.add("roots", roots)
	for i := range g.Nodes {
		n := &g.Nodes[i]
		children := make([]frozenChild, len(n.Children))
		for j, name := range n.Children {
			c := byName[name]
			children[j] = frozenChild{Name: name, Parents: len(c.Parents), Handler: c.Handler, Queue: c.Queue}
		}
		f.add("step:"+n.Name, newFrozenStep(n))
		f.add("children:"+n.Name, children)
		if len(n.Config) > 0 {
			f.pairs = append(f.pairs, "config:"+n.Name, string(n.Config))
		}
	}
	if f.err != nil {
		return nil, fmt.Errorf("freeze graph %s: %w", g.Digest, f.err)
	}
	return f.pairs, nil
}

// fields collects the fields and values of a hash; values are written as JSON.
type fields struct {
	pairs []any
	err   error
}

func (f *fields) add(name string, v any) {
	if f.err != nil {
		return
	}
	raw, err := marshal(v)
	f.err = err
	f.pairs = append(f.pairs, name, string(raw))
}

// marshal is json.Marshal without escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func newFrozenStep(n *dag.Node) frozenStep {
	parents := n.Parents
	if parents == nil {
		parents = []string{}
	}
	return frozenStep{
		Handler: n.Handler, Queue: n.Queue, Timeout: n.Timeout.Milliseconds(), MaxAttempts: n.Retry.MaxAttempts, Parents: parents,
		Policy: frozenPolicy{
			Backoff: n.Retry.Backoff, BaseDelay: n.Retry.BaseDelay.Milliseconds(), MaxDelay: n.Retry.MaxDelay.Milliseconds(), Jitter: n.Retry.Jitter,
		},
	}
}

func (f *frozenStep) policy() dag.Policy {
	return dag.Policy{
		MaxAttempts: f.MaxAttempts, Backoff: f.Policy.Backoff,
		BaseDelay: time.Duration(f.Policy.BaseDelay) * time.Millisecond, MaxDelay: time.Duration(f.Policy.MaxDelay) * time.Millisecond,
		Jitter: f.Policy.Jitter,
	}
}

// parseStep reads step:<step>.
func parseStep(raw, step, def string) (frozenStep, error) {
	var f frozenStep
	if err := json.Unmarshal([]byte(raw), &f); err != nil {
		return f, fmt.Errorf("step %s in definition %s: %w", strconv.Quote(step), def, err)
	}
	return f, nil
}
