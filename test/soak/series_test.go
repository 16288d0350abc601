package soak_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stepwell/stepwell/test/soak"
)

// values are n of a function of their place.
func values(n int, at func(i int) float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = at(i)
	}
	return v
}

const mib = 1 << 20

func TestRise(t *testing.T) {
	t.Parallel()
	const warm = 45
	for name, c := range map[string]struct {
		series soak.Series
		rises  bool
	}{
		"flat": {soak.Series{Growth: 0.15, Slack: 1, Values: values(90, func(int) float64 { return 100 })}, false},
		"a collector's saw": {soak.Series{Unit: "B", Growth: 0.15, Slack: 2 * mib, Values: values(90, func(i int) float64 {
			return float64(8+i*7%8) * mib
		})}, false},
		"grows while it warms up": {soak.Series{Growth: 0.15, Slack: 10, Values: values(90, func(i int) float64 { return math.Min(float64(i), warm) * 100 })}, false},
		"one peak":                {soak.Series{Growth: 0.15, Slack: 10, Values: values(90, func(i int) float64 { return 100 + 1000*float64(i/89) })}, false},
		"falls":                   {soak.Series{Growth: 0.15, Slack: 10, Values: values(90, func(i int) float64 { return float64(900 - i) })}, false},
		"a goroutine in ten runs": {soak.Series{Growth: 0.15, Slack: 20, Values: values(90, func(i int) float64 { return 100 + 4*float64(i) })}, true},
		"a key a run":             {soak.Series{Growth: 0.05, Slack: 300, Values: values(90, func(i int) float64 { return 6000 + 40*float64(i) })}, true},
		"8 KiB a run": {soak.Series{Unit: "B", Growth: 0.15, Slack: 2 * mib, Values: values(90, func(i int) float64 {
			return 20*mib + 40*8192*float64(i)
		})}, true},
		"too short": {soak.Series{Growth: 0.15, Slack: 10, Values: values(warm+8, func(int) float64 { return 1 })}, true},
		"nothing":   {soak.Series{Growth: 0.15, Slack: 10}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := c.series.Rise(warm); (err != nil) != c.rises {
				t.Errorf("rise: %v, want one: %t", err, c.rises)
			}
		})
	}
}

func TestCharts(t *testing.T) {
	t.Parallel()
	all := []soak.Series{
		{Name: "heap <api>", Unit: "B", Growth: 1, Values: values(200, func(i int) float64 { return float64(i%20) * mib })},
		{Name: "runs", Values: []float64{0}},
		{Name: "not measured"},
	}
	text := soak.Text(all, 10)
	for _, want := range []string{"heap <api>", "19.0 MiB", "█", "▁"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	if !all[0].Judged() || all[1].Judged() {
		t.Error("a series is judged when it has bounds, and only then")
	}
	svg := soak.SVG(all, 10, 2*time.Second)
	for dec := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	if n := strings.Count(svg, "<polyline"); n != 2 {
		t.Errorf("%d lines, want one for each series that was measured", n)
	}
}
