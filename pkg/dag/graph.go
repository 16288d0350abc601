package dag

import (
	"encoding/json"
	"slices"
	"time"
)

// Graph is a compiled, validated [Workflow] with its profiles applied and every default filled in. A run stores the digest of its
// graph and keeps that graph for life. A Graph is never changed after [Compile] made it, so it may be shared.
type Graph struct {
	Namespace, Name, Version string
	Profiles                 []string // applied, in order
	Timeout                  time.Duration
	Nodes                    []Node // in topological order, ties in the order of definition
	// Digest is 32 hexadecimal digits, the first half of the SHA-256 of everything above in canonical JSON.
	Digest string
}

// Node is a step of a [Graph].
type Node struct {
	Name     string
	Handler  string
	Queue    string
	Parents  []string // in the order of definition
	Children []string // in topological order
	Join     Join
	Timeout  time.Duration
	Retry    Policy
	Config   json.RawMessage // nil when the step has none
}

// Join says when a step may run, by the outcomes of its parents.
type Join string

// JoinNoneFailed runs a step when all its parents are settled and none failed; a skipped parent counts as done, without output.
// A step with a failed parent stays pending: it can no longer run unless an operator retries the parent.
const JoinNoneFailed Join = "none_failed"

// Policy is a [RetryPolicy] with every default filled in.
type Policy struct {
	MaxAttempts int
	Backoff     Backoff
	BaseDelay   time.Duration
	MaxDelay    time.Duration
	Jitter      float64
}

// FullName is namespace/name.
func (g *Graph) FullName() string { return g.Namespace + "/" + g.Name }

// Node returns the step of that name, or false when there is none.
func (g *Graph) Node(name string) (*Node, bool) {
	for i := range g.Nodes {
		if g.Nodes[i].Name == name {
			return &g.Nodes[i], true
		}
	}
	return nil, false
}

// Roots are the steps without parents, in topological order. A run begins with them.
func (g *Graph) Roots() []string {
	var out []string
	for i := range g.Nodes {
		if len(g.Nodes[i].Parents) == 0 {
			out = append(out, g.Nodes[i].Name)
		}
	}
	return out
}

// Ancestors are all steps that are settled before this one may run, its parents and theirs, in topological order. It is empty for a
// root and for a name that is no step.
func (g *Graph) Ancestors(step string) []string {
	wanted := map[string]bool{step: true}
	var out []string
	for _, n := range slices.Backward(g.Nodes) {
		if !wanted[n.Name] {
			continue
		}
		if n.Name != step {
			out = append(out, n.Name)
		}
		for _, parent := range n.Parents {
			wanted[parent] = true
		}
	}
	slices.Reverse(out)
	return out
}
