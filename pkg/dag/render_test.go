package dag_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/pkg/dag"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestRenderGolden(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		workflow *dag.Workflow
		states   map[string]dag.StepState
	}{
		{name: "checkout", workflow: checkout()},
		{name: "checkout_failed", workflow: checkout(), states: map[string]dag.StepState{
			"validate_cart": dag.StepSucceeded, "process_payment": dag.StepFailed,
		}},
		{
			name: "all_states",
			workflow: shape("start", "charge: start", "stock: start", "fraud: start", "approve: fraud", "ship: charge stock approve",
				"mail: ship", "points: charge", "report: start mail points"),
			states: map[string]dag.StepState{
				"start": dag.StepSucceeded, "charge": dag.StepRunning, "stock": dag.StepRetrying, "fraud": dag.StepSkipped,
				"approve": dag.StepWaiting, "ship": dag.StepQueued, "mail": dag.StepFailed, "points": dag.StepCancelled,
			},
		},
		{name: "wide", workflow: wide()},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := compile(t, c.workflow)
			golden(t, c.name+".mmd", dag.Mermaid(g, c.states))
			golden(t, c.name+".dot", dag.DOT(g, c.states))
			svg := dag.SVG(g, c.states)
			golden(t, c.name+".svg", svg)
			wellFormed(t, svg)
		})
	}
}

// wide is three layers in which every step has a long edge or many parents.
func wide() *dag.Workflow {
	lines := []string{"split", "audit_with_a_rather_long_name: split"}
	join := []string{"join: split"}
	for i := range 6 {
		lines = append(lines, fmt.Sprintf("resize_%d: split", i), fmt.Sprintf("upload_%d: resize_%d", i, i))
		join = append(join, fmt.Sprintf("upload_%d", i))
	}
	return shape(append(lines, strings.Join(join, " "), "notify: join audit_with_a_rather_long_name")...)
}

func TestRenderEscapes(t *testing.T) {
	t.Parallel()
	g := &dag.Graph{
		Namespace: "<n>", Name: `"&`, Version: "1.0.0",
		Nodes: []dag.Node{
			{Name: `<script>"a\#`, Children: []string{"end", "unknown"}},
			{Name: "end", Parents: []string{`<script>"a\#`, "unknown"}},
		},
	}
	states := map[string]dag.StepState{"end": "<odd>\x00"}
	svg := dag.SVG(g, states)
	wellFormed(t, svg)
	for _, bad := range []string{"<script>", "<odd>"} {
		if strings.Contains(svg, bad) || strings.Contains(dag.Mermaid(g, states), bad) {
			t.Errorf("%s is not escaped", bad)
		}
	}
	if out := dag.Mermaid(g, nil); !strings.Contains(out, `s0["#lt;script#gt;#quot;a\#35;"]`) {
		t.Errorf("mermaid label is not escaped:\n%s", out)
	}
	if out := dag.DOT(g, nil); !strings.Contains(out, `"<script>\"a\\#" -> "end";`) {
		t.Errorf("dot name is not escaped:\n%s", out)
	}
}

func TestRenderHugeGraph(t *testing.T) {
	t.Parallel()
	wellFormed(t, dag.SVG(compile(t, huge()), nil))
	wellFormed(t, dag.SVG(&dag.Graph{}, nil))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "render", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./pkg/dag -update writes it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); go test ./pkg/dag -update writes it anew:\n%s", name, diff)
	}
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("svg is not well-formed: %v", err)
		}
	}
}
