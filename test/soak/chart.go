package soak

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"time"
)

const textWidth = 60 // characters of a line in Text

// Text draws each series as a line of its own scale, with its levels after the warm-up behind it.
func Text(all []Series, warm int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-26s %-*s %12s %12s %12s %12s\n", "", textWidth, "from 0 to its highest", "highest", "1st third", "2nd third", "3rd third")
	for i := range all {
		s := &all[i]
		if len(s.Values) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%-26s %-*s %12s", s.Name, textWidth, sparkline(s.Values), s.format(slices.Max(s.Values)))
		if len(s.Values)-warm >= fewest {
			first, middle, last := s.Levels(warm)
			fmt.Fprintf(&b, " %12s %12s %12s", s.format(first), s.format(middle), s.format(last))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// sparkline shows the highest value of each stretch of time.
func sparkline(values []float64) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	width := min(textWidth, len(values))
	top := max(slices.Max(values), 1)
	line := make([]rune, width)
	for i := range line {
		stretch := values[i*len(values)/width : (i+1)*len(values)/width]
		line[i] = bars[min(int(max(slices.Max(stretch), 0)/top*float64(len(bars))), len(bars)-1)]
	}
	return string(line)
}

// Sizes of the drawing, in pixels.
const (
	plotWidth, plotHeight = 360, 90
	gap, columns          = 50, 2
)

// SVG draws each series in a plot of its own, from 0 to its highest value. The warm-up is shaded.
func SVG(all []Series, warm int, every time.Duration) string {
	var b strings.Builder
	rows := (len(all) + columns - 1) / columns
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		columns*(plotWidth+gap)+gap, rows*(plotHeight+gap)+gap)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	for i := range all {
		plot(&b, &all[i], gap+i%columns*(plotWidth+gap), gap+i/columns*(plotHeight+gap), warm, every)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func plot(b *strings.Builder, s *Series, x, y, warm int, every time.Duration) {
	n := len(s.Values)
	if n == 0 {
		return
	}
	top := max(slices.Max(s.Values), 1)
	step := float64(plotWidth) / float64(max(n-1, 1))
	fmt.Fprintf(b, `<g transform="translate(%d %d)">`+"\n", x, y)
	fmt.Fprintf(b, `<rect width="%.1f" height="%d" fill="#eee"/>`+"\n", min(float64(warm)*step, plotWidth), plotHeight)
	fmt.Fprintf(b, `<text y="-6">%s, at most %s, %s</text>`+"\n", html.EscapeString(s.Name), s.format(slices.Max(s.Values)), (time.Duration(n) * every).Round(time.Second))
	b.WriteString(`<polyline fill="none" stroke="#1f5fa8" stroke-width="1.5" points="`)
	for i, v := range s.Values {
		fmt.Fprintf(b, "%.1f,%.1f ", float64(i)*step, plotHeight*(1-max(v, 0)/top))
	}
	fmt.Fprintf(b, `"/>`+"\n"+`<line y1="%d" x2="%d" y2="%d" stroke="#888"/>`+"\n</g>\n", plotHeight, plotWidth, plotHeight)
}
