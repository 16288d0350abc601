package dag

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// Measures of a drawing in pixels. Letters are of one width, 0.6 of their size, in every common monospaced font.
const (
	nameSize   = 13.0
	stateSize  = 11.0
	letter     = 0.61
	boxPadding = 14.0
	boxHeight  = 44.0
	layerGap   = 40.0
	boxGap     = 26.0
	lineGap    = 14.0 // room that an edge takes where it passes a layer
	margin     = 12.0
	minBox     = 96.0
	fontFamily = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
)

// SVG draws a graph as a picture that stands alone: layers from top to bottom, each step below all its parents. States are those of
// [Mermaid]. Its background is transparent, and it is readable on light and dark pages.
func SVG(g *Graph, states map[string]StepState) string {
	l := newLayout(g)
	title := xmlText(g.FullName() + "@" + g.Version)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img" font-family="%s">`+"\n",
		l.width, l.height, l.width, l.height, fontFamily)
	fmt.Fprintf(&b, "<title>%s</title>\n", title)
	fmt.Fprintf(&b, `<defs><marker id="stepwell-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">`+
		`<path d="M0 0 8 4 0 8Z" fill="%s"/></marker></defs>`+"\n", edgeLine)
	fmt.Fprintf(&b, `<g fill="none" stroke="%s" stroke-width="1.5">`+"\n", edgeLine)
	for _, e := range l.edges {
		fmt.Fprintf(&b, `<path d="%s" marker-end="url(#stepwell-arrow)"/>`+"\n", l.route(e))
	}
	b.WriteString("</g>\n")
	for i := range g.Nodes {
		drawBox(&b, &l.cells[i], g.Nodes[i].Name, stateIn(states, g.Nodes[i].Name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func drawBox(b *strings.Builder, c *cell, name string, s StepState) {
	p := paintOf(s)
	dash := ""
	if p.dashed {
		dash = ` stroke-dasharray="4 3"`
	}
	top := c.top()
	fmt.Fprintf(b, `<g><title>%s</title>`, xmlText(strings.TrimSuffix(name+" "+string(s), " ")))
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="7" fill="%s" stroke="%s" stroke-width="1.5"%s/>`,
		c.x-c.width/2, top, c.width, boxHeight, p.fill, p.line, dash)
	baseline := top + boxHeight/2 + nameSize*0.35
	if s != "" {
		baseline = top + 19
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="%.0f" font-weight="600" fill="%s" text-anchor="middle">%s</text>`,
		c.x, baseline, nameSize, ink, xmlText(name))
	if s != "" {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="%.0f" fill="%s" text-anchor="middle">%s</text>`,
			c.x, baseline+16, stateSize, ink, xmlText(string(s)))
	}
	b.WriteString("</g>\n")
}

// route is the path of an edge: a curve between layers, a straight line beside the boxes of a layer that it passes.
func (l *layout) route(e edge) string {
	var b strings.Builder
	from := &l.cells[e.cells[0]]
	x, y := from.x, from.top()+boxHeight
	fmt.Fprintf(&b, "M%.1f %.1f", x, y)
	for i, n := range e.cells[1:] {
		c := &l.cells[n]
		top := c.top()
		last := i == len(e.cells)-2
		if last {
			top -= 2 // the arrow's tip stays outside of the box's line
		}
		bend := (y + top) / 2
		fmt.Fprintf(&b, "C%.1f %.1f %.1f %.1f %.1f %.1f", x, bend, c.x, bend, c.x, top)
		x, y = c.x, top
		if !last {
			y += boxHeight
			fmt.Fprintf(&b, "V%.1f", y)
		}
	}
	return b.String()
}

func xmlText(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return "" // a strings.Builder takes everything
	}
	return b.String()
}
