package dag

import "slices"

// findCycles returns one circle for each group of steps that all wait for each other: a shortest through the group's first step in
// the order of definition, and from there. Unknown parents and steps that depend on themselves are left to others.
func findCycles(steps []Step, index map[string]int) [][]string {
	children := make([][]int, len(steps))
	for name, i := range index {
		for _, parent := range steps[i].DependsOn {
			if p, ok := index[parent]; ok && parent != name {
				children[p] = append(children[p], i)
			}
		}
	}
	for i := range children { // the index is a map: restore the order of definition
		slices.Sort(children[i])
		children[i] = slices.Compact(children[i])
	}
	groups := components(children)
	slices.SortFunc(groups, func(a, b []int) int { return a[0] - b[0] })
	var out [][]string
	for _, group := range groups {
		var path []string
		for _, i := range shortestCircle(children, group) {
			path = append(path, steps[i].Name)
		}
		out = append(out, path)
	}
	return out
}

// components are the strongly connected components of more than one node (Tarjan), each sorted.
func components(children [][]int) [][]int {
	t := tarjan{children: children, number: make([]int, len(children)), low: make([]int, len(children)), on: make([]bool, len(children))}
	for i := range children {
		if t.number[i] == 0 {
			t.visit(i)
		}
	}
	return t.out
}

type tarjan struct {
	children    [][]int
	number, low []int // from 1 in the order of visit; 0 is not visited
	on          []bool
	stack       []int
	last        int
	out         [][]int
}

// visit recurses once a step at most, so no deeper than MaxSteps.
func (t *tarjan) visit(i int) {
	t.last++
	t.number[i], t.low[i] = t.last, t.last
	t.stack, t.on[i] = append(t.stack, i), true
	for _, c := range t.children[i] {
		if t.number[c] == 0 {
			t.visit(c)
			t.low[i] = min(t.low[i], t.low[c])
		} else if t.on[c] {
			t.low[i] = min(t.low[i], t.number[c])
		}
	}
	if t.low[i] != t.number[i] {
		return
	}
	start := slices.Index(t.stack, i)
	group := slices.Clone(t.stack[start:])
	t.stack = t.stack[:start]
	for _, n := range group {
		t.on[n] = false
	}
	if len(group) > 1 {
		slices.Sort(group)
		t.out = append(t.out, group)
	}
}

// shortestCircle goes from the first of a group over its members back to the first, breadth first.
func shortestCircle(children [][]int, group []int) []int {
	first := group[0]
	from := map[int]int{}
	queue := []int{first}
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		for _, c := range children[i] {
			if c == first {
				path := []int{first}
				for n := i; n != first; n = from[n] {
					path = append(path, n)
				}
				path = append(path, first)
				slices.Reverse(path)
				return path
			}
			if _, seen := from[c]; !seen && isIn(group, c) {
				from[c] = i
				queue = append(queue, c)
			}
		}
	}
	return nil
}

func isIn(sorted []int, n int) bool {
	_, ok := slices.BinarySearch(sorted, n)
	return ok
}
