package dag_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// checkout is the shop's workflow: five steps in a row, two profiles.
func checkout() *dag.Workflow {
	step := func(name string, attempts, seconds int, parents ...string) dag.Step {
		return dag.Step{
			Name: name, Handler: "checkout." + name, DependsOn: parents,
			Timeout: time.Duration(seconds) * time.Second, Retry: dag.RetryPolicy{MaxAttempts: attempts},
		}
	}
	return &dag.Workflow{
		Namespace: "ecommerce", Name: "process_order", Version: "1.0.0", Description: "Reliable checkout",
		Timeout:     time.Hour,
		InputSchema: json.RawMessage(`{"type":"object","required":["cart_items"]}`),
		Steps: []dag.Step{
			step("validate_cart", 3, 15),
			step("process_payment", 3, 30, "validate_cart"),
			step("update_inventory", 2, 20, "process_payment"),
			step("create_order", 3, 15, "update_inventory"),
			step("send_confirmation", 5, 10, "create_order"),
		},
		Profiles: map[string]dag.Profile{
			"express": {Steps: map[string]dag.StepOverride{
				"process_payment":   {Timeout: 15 * time.Second, Retry: dag.RetryPolicy{MaxAttempts: 1}},
				"send_confirmation": {Retry: dag.RetryPolicy{MaxAttempts: 2}},
			}},
			"premium": {Defaults: dag.Defaults{Queue: "ecommerce-critical"}},
		},
	}
}

// shape builds a workflow from lines like "d: b c" (d depends on b and c).
func shape(lines ...string) *dag.Workflow {
	w := &dag.Workflow{Namespace: "test", Name: "shape", Version: "1.0.0"}
	for _, line := range lines {
		name, parents, _ := strings.Cut(line, ":")
		w.Steps = append(w.Steps, dag.Step{Name: name, Handler: "test." + name, DependsOn: strings.Fields(parents)})
	}
	return w
}

func compile(tb testing.TB, w *dag.Workflow, profiles ...string) *dag.Graph {
	tb.Helper()
	g, err := dag.Compile(w, profiles...)
	if err != nil {
		tb.Fatalf("compile %s: %v", w.FullName(), err)
	}
	return g
}

func names(g *dag.Graph) []string {
	out := make([]string, len(g.Nodes))
	for i, n := range g.Nodes {
		out[i] = n.Name
	}
	return out
}

func node(tb testing.TB, g *dag.Graph, name string) *dag.Node {
	tb.Helper()
	n, ok := g.Node(name)
	if !ok {
		tb.Fatalf("graph has no step %s", name)
	}
	return n
}
