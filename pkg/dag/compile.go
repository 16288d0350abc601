package dag

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Compile validates a workflow, applies profiles in the order given and fills every default in. What holds for a step is decided by
// the strongest that says anything: what a profile says about the step, the step itself, a profile's defaults, the workflow's, the
// package's; among profiles the later wins. So a profile with another default queue moves all steps but those that name their own.
// The errors are those of [Workflow.Validate], or a [FieldError] when profiles are unknown or do not go together.
func Compile(w *Workflow, profiles ...string) (*Graph, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	if err := w.checkProfiles(profiles); err != nil {
		return nil, err
	}
	g := &Graph{
		Namespace: w.Namespace, Name: w.Name, Version: w.Version,
		Profiles: slices.Clone(profiles), Timeout: cmp.Or(w.Timeout, DefaultRunTimeout),
	}
	if err := g.fill(w); err != nil {
		return nil, err
	}
	sum, err := g.sum()
	if err != nil {
		return nil, err
	}
	g.Digest = sum
	return g, nil
}

// fill makes the nodes of a graph from a valid workflow.
func (g *Graph) fill(w *Workflow) error {
	p := planner{workflow: w, profiles: g.Profiles}
	order, children := sortSteps(w.Steps)
	place := make([]int, len(order)) // in the topological order
	for i, step := range order {
		place[step] = i
	}
	g.Nodes = make([]Node, len(order))
	var errs []error
	for i, step := range order {
		s, planned := &w.Steps[step], p.plan(step)
		if e := planned.conflict(); e != nil {
			errs = append(errs, e)
		}
		config, err := canonicalOrNil(planned.config)
		if err != nil {
			return fmt.Errorf("config of step %s: %w", s.Name, err)
		}
		g.Nodes[i] = Node{
			Name: s.Name, Handler: s.Handler, Queue: planned.queue, Parents: slices.Clone(s.DependsOn), Join: JoinNoneFailed,
			Timeout: planned.timeout, Retry: planned.policy(), Config: config,
		}
		slices.SortFunc(children[step], func(a, b int) int { return place[a] - place[b] })
		for _, child := range children[step] {
			g.Nodes[i].Children = append(g.Nodes[i].Children, w.Steps[child].Name)
		}
	}
	return errors.Join(errs...)
}

func (w *Workflow) checkProfiles(chosen []string) error {
	var errs []error
	names := slices.Sorted(maps.Keys(w.Profiles))
	for i, name := range chosen {
		_, ok := w.Profiles[name]
		switch {
		case !ok && len(names) == 0:
			errs = append(errs, &FieldError{"profiles", fmt.Sprintf("there is no profile %s; this workflow has none", quote(name))})
		case !ok:
			p := fmt.Sprintf("there is no profile %s; this workflow has %s", quote(name), strings.Join(names, ", "))
			errs = append(errs, &FieldError{"profiles", p})
		case slices.Contains(chosen[:i], name):
			errs = append(errs, &FieldError{"profiles", fmt.Sprintf("profile %s is chosen twice; choose it once", quote(name))})
		}
	}
	return errors.Join(errs...)
}

// sortSteps returns the indexes of valid steps with parents before children and ties in the order of definition, and each step's
// children.
func sortSteps(steps []Step) (order []int, children [][]int) {
	index := make(map[string]int, len(steps))
	for i := range steps {
		index[steps[i].Name] = i
	}
	children = make([][]int, len(steps))
	missing := make([]int, len(steps))
	var ready intHeap
	for i := range steps {
		missing[i] = len(steps[i].DependsOn)
		if missing[i] == 0 {
			ready = append(ready, i) // ascending, which is a heap already
		}
		for _, parent := range steps[i].DependsOn {
			children[index[parent]] = append(children[index[parent]], i)
		}
	}
	order = make([]int, 0, len(steps))
	for len(ready) > 0 {
		i := heap.Pop(&ready).(int) //nolint:forcetypeassert // an intHeap holds nothing else
		order = append(order, i)
		for _, child := range children[i] {
			if missing[child]--; missing[child] == 0 {
				heap.Push(&ready, child)
			}
		}
	}
	return order, children
}

type intHeap []int

func (h *intHeap) Len() int           { return len(*h) }
func (h *intHeap) Less(i, j int) bool { return (*h)[i] < (*h)[j] }
func (h *intHeap) Swap(i, j int)      { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }
func (h *intHeap) Push(x any)         { *h = append(*h, x.(int)) } //nolint:forcetypeassert // as above
func (h *intHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
