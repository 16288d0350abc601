package dag_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stepwell/stepwell/pkg/dag"
)

// anyWorkflow draws a valid workflow: edges go from a hidden order forwards, the definition is in another order.
func anyWorkflow(t *rapid.T) *dag.Workflow {
	n := rapid.IntRange(1, 24).Draw(t, "steps")
	w := &dag.Workflow{Namespace: "test", Name: "any", Version: "1.2.3", Profiles: map[string]dag.Profile{}}
	for i := range n {
		s := dag.Step{Name: fmt.Sprintf("s%d", i), Handler: "h", Queue: rapid.SampledFrom([]string{"", "", "q"}).Draw(t, "queue")}
		for p := range i {
			if rapid.IntRange(0, 4).Draw(t, "edge") == 0 {
				s.DependsOn = append(s.DependsOn, fmt.Sprintf("s%d", p))
			}
		}
		if rapid.Bool().Draw(t, "has config") {
			s.Config = json.RawMessage(fmt.Sprintf(`{"b":%d,"a":{"y":"<",  "x":1.0}}`, i))
		}
		w.Steps = append(w.Steps, s)
	}
	w.Steps = rapid.Permutation(w.Steps).Draw(t, "definition")
	for i := range rapid.IntRange(0, 4).Draw(t, "profiles") {
		w.Profiles[fmt.Sprintf("p%d", i)] = dag.Profile{
			Defaults: dag.Defaults{Queue: fmt.Sprintf("q%d", i)},
			Steps:    map[string]dag.StepOverride{"s0": {Timeout: time.Duration(i+1) * time.Second}},
		}
	}
	return w
}

func mustCompile(t *rapid.T, w *dag.Workflow, profiles ...string) *dag.Graph {
	g, err := dag.Compile(w, profiles...)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return g
}

func TestTopologicalOrderHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorkflow(t)
		g := mustCompile(t, w)
		place := map[string]int{}
		for i, n := range g.Nodes {
			place[n.Name] = i
		}
		if len(place) != len(w.Steps) {
			t.Fatalf("%d steps became %d nodes", len(w.Steps), len(place))
		}
		for i, n := range g.Nodes {
			for _, p := range n.Parents {
				if place[p] >= i {
					t.Fatalf("%s stands before its parent %s", n.Name, p)
				}
				if parent, _ := g.Node(p); !slices.Contains(parent.Children, n.Name) {
					t.Fatalf("%s does not know its child %s", p, n.Name)
				}
				if !slices.Contains(g.Ancestors(n.Name), p) {
					t.Fatalf("%s does not know its ancestor %s", n.Name, p)
				}
			}
			if !slices.IsSortedFunc(n.Children, func(a, b string) int { return place[a] - place[b] }) {
				t.Fatalf("children of %s are not in topological order: %v", n.Name, n.Children)
			}
		}
	})
}

// Whatever the order in which steps are completed and whatever their outcomes: a step becomes ready exactly once, after all its
// parents, and all steps without a failed ancestor run.
func TestEveryStepRunsAfterItsParentsExactlyOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := mustCompile(t, anyWorkflow(t))
		outcomes := rapid.SampledFrom([][]dag.Outcome{
			{dag.OutcomeOK},
			{dag.OutcomeOK, dag.OutcomeSkip},
			{dag.OutcomeOK, dag.OutcomeOK, dag.OutcomeOK, dag.OutcomeFail},
		}).Draw(t, "outcomes")
		ready := g.Roots()
		queued := map[string]int{}
		settled := map[string]dag.Outcome{}
		tallies := map[string]dag.Tally{}
		for _, r := range ready {
			queued[r]++
		}
		for len(ready) > 0 {
			i := rapid.IntRange(0, len(ready)-1).Draw(t, "next")
			n, _ := g.Node(ready[i])
			ready = slices.Delete(ready, i, i+1)
			for _, p := range n.Parents {
				if o := settled[p]; o != dag.OutcomeOK && o != dag.OutcomeSkip {
					t.Fatalf("%s runs with parent %s %q", n.Name, p, o)
				}
			}
			o := rapid.SampledFrom(outcomes).Draw(t, "outcome")
			settled[n.Name] = o
			for _, c := range n.Children {
				child, _ := g.Node(c)
				tallies[c] = tallies[c].Add(o, 1)
				if child.Join.Decide(tallies[c], len(child.Parents)) == dag.DecisionRun {
					queued[c]++
					ready = append(ready, c)
				}
			}
		}
		for _, n := range g.Nodes {
			want := 1
			for _, a := range g.Ancestors(n.Name) {
				if o := settled[a]; o == dag.OutcomeFail {
					want = 0
				}
			}
			if queued[n.Name] != want {
				t.Fatalf("%s became ready %d times, want %d", n.Name, queued[n.Name], want)
			}
		}
	})
}

// Maps are iterated in another order each time, and white space in configs is drawn: the digests stay.
func TestCompileIsDeterministic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorkflow(t)
		var profiles []string
		for i := range len(w.Profiles) {
			profiles = append(profiles, fmt.Sprintf("p%d", i))
		}
		first, firstOfAll := mustCompile(t, w, profiles...), digestOf(t, w)
		for i := range w.Steps {
			if w.Steps[i].Config == nil {
				continue
			}
			indented, err := json.MarshalIndent(w.Steps[i].Config, "", rapid.SampledFrom([]string{" ", "\t", "\n"}).Draw(t, "indent"))
			if err != nil {
				t.Fatal(err)
			}
			w.Steps[i].Config = indented
		}
		if diff := cmp.Diff(first, mustCompile(t, w, profiles...)); diff != "" {
			t.Fatalf("the graph depends on white space:\n%s", diff)
		}
		if d := digestOf(t, w); d != firstOfAll {
			t.Fatalf("the workflow's digest depends on white space: %s, %s", d, firstOfAll)
		}
	})
}

func digestOf(t *rapid.T, w *dag.Workflow) string {
	d, err := w.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestJSONKeepsTheDigest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorkflow(t)
		g := mustCompile(t, w)
		var backG dag.Graph
		var backW dag.Workflow
		for from, to := range map[json.Marshaler]json.Unmarshaler{g: &backG, w: &backW} {
			raw, err := json.Marshal(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, to); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(g, &backG); diff != "" {
			t.Fatalf("graph (-want +got):\n%s", diff)
		}
		if digestOf(t, w) != digestOf(t, &backW) {
			t.Fatal("the workflow's digest changed")
		}
	})
}

// A circle that is put into any valid workflow is found, and the reported path is one.
func TestEveryCycleIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorkflow(t)
		g := mustCompile(t, w)
		var chains [][2]string // ancestor, descendant
		for _, n := range g.Nodes {
			for _, a := range g.Ancestors(n.Name) {
				chains = append(chains, [2]string{a, n.Name})
			}
		}
		if len(chains) == 0 {
			t.Skip("no dependencies")
		}
		chain := rapid.SampledFrom(chains).Draw(t, "chain")
		parents := map[string][]string{}
		for i := range w.Steps {
			if s := &w.Steps[i]; s.Name == chain[0] {
				s.DependsOn = append(s.DependsOn, chain[1])
			}
			parents[w.Steps[i].Name] = w.Steps[i].DependsOn
		}
		paths := cyclesIn(w.Validate())
		if len(paths) != 1 {
			t.Fatalf("found %v after %s was made to depend on %s", paths, chain[0], chain[1])
		}
		path := paths[0]
		if path[0] != path[len(path)-1] || len(path) < 3 {
			t.Fatalf("%v is no circle", path)
		}
		for i, name := range path[1:] {
			if !slices.Contains(parents[name], path[i]) {
				t.Fatalf("%s does not depend on %s in %v", name, path[i], path)
			}
		}
	})
}
