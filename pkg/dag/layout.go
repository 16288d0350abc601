package dag

import (
	"cmp"
	"math"
	"slices"
	"unicode/utf8"
)

// layout places the steps of a graph (Sugiyama's method): a step's layer is the longest path to it; within layers, steps go where
// their neighbours are, first by order, then by position.
type layout struct {
	cells         []cell  // the nodes of the graph in their order, then the places where edges pass a layer
	layers        [][]int // cells from left to right
	edges         []edge
	width, height float64
}

type cell struct {
	layer    int
	width    float64
	x        float64 // centre
	up, down []int   // neighbours in the layers above and below
}

func (c *cell) top() float64 { return margin + float64(c.layer)*(boxHeight+layerGap) }

// edge is a list of cells: parent, passages, child.
type edge struct{ cells []int }

const (
	sweeps      = 12
	maxPassages = 20_000 // of all edges; beyond, long edges cut straight through, for no one can follow them anyway
)

func newLayout(g *Graph) *layout {
	l := &layout{}
	l.assignLayers(g)
	l.connect(g)
	l.layers = make([][]int, l.depth())
	for i := range l.cells {
		l.layers[l.cells[i].layer] = append(l.layers[l.cells[i].layer], i)
	}
	for n := range sweeps {
		l.order(n%2 == 0)
	}
	l.place()
	return l
}

func (l *layout) assignLayers(g *Graph) {
	l.cells = make([]cell, len(g.Nodes))
	index := make(map[string]int, len(g.Nodes))
	for i := range g.Nodes {
		n := &g.Nodes[i]
		l.cells[i].width = max(minBox, 2*boxPadding+letter*nameSize*float64(utf8.RuneCountInString(n.Name)))
		for _, parent := range n.Parents {
			if p, ok := index[parent]; ok { // parents come first
				l.cells[i].layer = max(l.cells[i].layer, l.cells[p].layer+1)
			}
		}
		index[n.Name] = i
	}
}

// connect makes the edges, with a passage in each layer between parent and child.
func (l *layout) connect(g *Graph) {
	index := make(map[string]int, len(g.Nodes))
	for i := range g.Nodes {
		index[g.Nodes[i].Name] = i
	}
	passages := 0
	for i := range g.Nodes {
		for _, parent := range g.Nodes[i].Parents {
			if p, ok := index[parent]; ok {
				passages += max(0, l.cells[i].layer-l.cells[p].layer-1)
			}
		}
	}
	for i := range g.Nodes {
		for _, name := range g.Nodes[i].Children {
			child, ok := index[name]
			if !ok {
				continue
			}
			e := edge{cells: []int{i}}
			if passages <= maxPassages {
				for layer := l.cells[i].layer + 1; layer < l.cells[child].layer; layer++ {
					l.cells = append(l.cells, cell{layer: layer, width: lineGap})
					e.cells = append(e.cells, len(l.cells)-1)
				}
			}
			e.cells = append(e.cells, child)
			for k, c := range e.cells[1:] {
				l.cells[e.cells[k]].down = append(l.cells[e.cells[k]].down, c)
				l.cells[c].up = append(l.cells[c].up, e.cells[k])
			}
			l.edges = append(l.edges, e)
		}
	}
}

func (l *layout) depth() int {
	d := 0
	for i := range l.cells {
		d = max(d, l.cells[i].layer+1)
	}
	return d
}

// order sorts each layer by the mean rank of the neighbours in the layer before (barycenter), going down or up.
func (l *layout) order(down bool) {
	rank := make([]float64, len(l.cells))
	note := func(layer []int) {
		for i, c := range layer {
			rank[c] = float64(i) - float64(len(layer)-1)/2
		}
	}
	for _, layer := range l.layers {
		note(layer)
	}
	visit := func(layer []int) {
		want := make(map[int]float64, len(layer))
		for _, c := range layer {
			want[c] = mean(l.neighbours(c, down), rank, rank[c])
		}
		slices.SortStableFunc(layer, func(a, b int) int { return cmp.Compare(want[a], want[b]) })
		note(layer)
	}
	if down {
		for _, layer := range l.layers {
			visit(layer)
		}
		return
	}
	for _, layer := range slices.Backward(l.layers) {
		visit(layer)
	}
}

func (l *layout) neighbours(c int, down bool) []int {
	if down {
		return l.cells[c].up
	}
	return l.cells[c].down
}

func mean(of []int, values []float64, none float64) float64 {
	if len(of) == 0 {
		return none
	}
	sum := 0.0
	for _, c := range of {
		sum += values[c]
	}
	return sum / float64(len(of))
}

// place gives each cell the position nearest to the mean of its neighbours that keeps order and distances.
func (l *layout) place() {
	at := make([]float64, len(l.cells))
	for _, layer := range l.layers {
		offset := l.offsets(layer)
		for i, c := range layer {
			at[c] = offset[i] - offset[len(offset)-1]/2
		}
	}
	for n := range sweeps {
		l.settle(at, n%3)
	}
	low, high := math.Inf(1), math.Inf(-1)
	for i := range l.cells {
		low = min(low, at[i]-l.cells[i].width/2)
		high = max(high, at[i]+l.cells[i].width/2)
	}
	if len(l.cells) == 0 {
		low, high = 0, 0
	}
	for i := range l.cells {
		l.cells[i].x = at[i] - low + margin
	}
	l.width = high - low + 2*margin
	l.height = 2*margin + max(0, float64(len(l.layers))*(boxHeight+layerGap)-layerGap)
}

// settle moves each cell towards its neighbours above (way 0), below (way 1) or both.
func (l *layout) settle(at []float64, way int) {
	for i := range l.layers {
		if way == 1 {
			i = len(l.layers) - 1 - i
		}
		layer := l.layers[i]
		want := make([]float64, len(layer))
		for k, c := range layer {
			near := l.neighbours(c, way == 0)
			if way == 2 {
				near = slices.Concat(l.cells[c].up, l.cells[c].down)
			}
			want[k] = mean(near, at, at[c])
		}
		for k, x := range apart(want, l.offsets(layer)) {
			at[layer[k]] = x
		}
	}
}

// offsets are the least distances of a layer's cells from its first one.
func (l *layout) offsets(layer []int) []float64 {
	out := make([]float64, len(layer))
	for i := 1; i < len(layer); i++ {
		out[i] = out[i-1] + (l.cells[layer[i-1]].width+l.cells[layer[i]].width)/2 + boxGap
	}
	return out
}

// apart returns the positions nearest to want, by least squares, that differ at least as the offsets do: cells that push each other
// form a block, which stands at the mean of what its members want (pool adjacent violators).
func apart(want, offset []float64) []float64 {
	type block struct {
		sum  float64
		size int
	}
	var blocks []block
	for i := range want {
		b := block{want[i] - offset[i], 1}
		for len(blocks) > 0 {
			last := blocks[len(blocks)-1]
			if last.sum/float64(last.size) <= b.sum/float64(b.size) {
				break
			}
			b.sum += last.sum
			b.size += last.size
			blocks = blocks[:len(blocks)-1]
		}
		blocks = append(blocks, b)
	}
	out := make([]float64, 0, len(want))
	for _, b := range blocks {
		for range b.size {
			out = append(out, b.sum/float64(b.size)+offset[len(out)])
		}
	}
	return out
}
