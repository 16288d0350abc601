package dag_test

import (
	"fmt"
	"testing"

	"github.com/stepwell/stepwell/pkg/dag"
)

// huge is at the limits of a workflow: 2,048 steps and 4,096 dependencies, 32 steps wide.
func huge() *dag.Workflow {
	w := &dag.Workflow{Namespace: "test", Name: "huge", Version: "1.0.0"}
	edges := 0
	for i := range dag.MaxSteps {
		s := dag.Step{Name: fmt.Sprintf("step_%d", i), Handler: "test.step", Config: []byte(`{"size": 12, "colour": "red"}`)}
		for _, back := range []int{32, 33, 47} {
			if i >= 64 && edges < dag.MaxEdges {
				s.DependsOn = append(s.DependsOn, fmt.Sprintf("step_%d", i-back))
				edges++
			}
		}
		w.Steps = append(w.Steps, s)
	}
	return w
}

func BenchmarkCompileHuge(b *testing.B) {
	w := huge()
	for b.Loop() {
		if _, err := dag.Compile(w); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGraphJSONHuge(b *testing.B) {
	raw, err := compile(b, huge()).MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		var g dag.Graph
		if err := g.UnmarshalJSON(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSVGHuge(b *testing.B) {
	g := compile(b, huge())
	for b.Loop() {
		dag.SVG(g, nil)
	}
}
