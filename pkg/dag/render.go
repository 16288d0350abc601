package dag

import (
	"fmt"
	"strconv"
	"strings"
)

// Mermaid draws a graph as a Mermaid flowchart. With states, each step shows its own, and one that is not in the map is pending;
// nil draws the definition alone. The same graph and states always give the same text, here as in [DOT] and [SVG].
func Mermaid(g *Graph, states map[string]StepState) string {
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	used := map[StepState]bool{}
	id := make(map[string]string, len(g.Nodes)) // names such as "end" are words of Mermaid
	for i := range g.Nodes {
		name := g.Nodes[i].Name
		id[name] = "s" + strconv.Itoa(i)
		label, class := mermaidText(name), ""
		if s := stateIn(states, name); s != "" {
			label += "<br/>" + mermaidText(string(s))
			used[s] = true
			class = mermaidClass(s)
		}
		fmt.Fprintf(&b, "    %s[\"%s\"]%s\n", id[name], label, class)
	}
	for i := range g.Nodes {
		for _, child := range g.Nodes[i].Children {
			if to, ok := id[child]; ok {
				fmt.Fprintf(&b, "    s%d --> %s\n", i, to)
			}
		}
	}
	for _, s := range AllStepStates() {
		if c := paintOf(s); used[s] {
			fmt.Fprintf(&b, "    classDef %s fill:%s,stroke:%s,color:%s%s\n", s, c.fill, c.line, ink, mermaidDash(c))
		}
	}
	return b.String()
}

// DOT draws a graph in the language of Graphviz. States are those of [Mermaid].
func DOT(g *Graph, states map[string]StepState) string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n", dotText(g.FullName()+"@"+g.Version))
	b.WriteString("    rankdir=TB;\n    bgcolor=transparent;\n")
	fmt.Fprintf(&b, "    node [shape=box, fontname=\"monospace\", fontsize=13, fontcolor=%q];\n", ink)
	fmt.Fprintf(&b, "    edge [color=%q];\n", edgeLine)
	for i := range g.Nodes {
		name := g.Nodes[i].Name
		s := stateIn(states, name)
		label, c := name, paintOf(s)
		if s != "" {
			label += "\n" + string(s)
		}
		style := "rounded,filled"
		if c.dashed {
			style += ",dashed"
		}
		fmt.Fprintf(&b, "    %s [label=%s, style=%q, fillcolor=%q, color=%q];\n", dotText(name), dotText(label), style, c.fill, c.line)
	}
	for i := range g.Nodes {
		for _, child := range g.Nodes[i].Children {
			fmt.Fprintf(&b, "    %s -> %s;\n", dotText(g.Nodes[i].Name), dotText(child))
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// Boxes are light with dark ink whatever the page is, and edges are of a grey that shows on white and on black, so that a drawing
// needs no style sheet, which a strict content security policy would refuse.
const (
	ink      = "#0f172a"
	edgeLine = "#7c8899"
)

type paint struct {
	fill, line string
	dashed     bool
}

func paintOf(s StepState) paint {
	switch s {
	case StepQueued:
		return paint{fill: "#cffafe", line: "#0891b2"}
	case StepRunning:
		return paint{fill: "#bfdbfe", line: "#2563eb"}
	case StepRetrying:
		return paint{fill: "#fde68a", line: "#d97706"}
	case StepWaiting:
		return paint{fill: "#ddd6fe", line: "#7c3aed"}
	case StepSucceeded:
		return paint{fill: "#bbf7d0", line: "#16a34a"}
	case StepFailed:
		return paint{fill: "#fecaca", line: "#dc2626"}
	case StepSkipped:
		return paint{fill: "#e2e8f0", line: "#64748b", dashed: true}
	case StepCancelled:
		return paint{fill: "#e7e5e4", line: "#78716c", dashed: true}
	case StepPending:
	}
	return paint{fill: "#f1f5f9", line: "#64748b"}
}

// stateIn is "" when no states are drawn.
func stateIn(states map[string]StepState, step string) StepState {
	if states == nil {
		return ""
	}
	if s := states[step]; s != "" {
		return s
	}
	return StepPending
}

func mermaidText(s string) string {
	return strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ", "\r", " ").Replace(s)
}

func mermaidClass(s StepState) string {
	if !s.Valid() {
		return ""
	}
	return ":::" + string(s)
}

func mermaidDash(c paint) string {
	if c.dashed {
		return ",stroke-dasharray:4 3"
	}
	return ""
}

func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", " ").Replace(s) + `"`
}
