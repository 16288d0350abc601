package soak

import (
	"fmt"
	"slices"
)

// Series is one measure over time. Its values are equally far apart.
type Series struct {
	Name   string
	Unit   string // B for bytes, which are shown as MiB; "" for a count
	Values []float64

	// Part of the first third's level, and units besides, by which the last third may be higher. Both are 0 for a series that is only drawn.
	Growth, Slack float64
}

// Judged tells whether the series has bounds.
func (s *Series) Judged() bool { return s.Growth > 0 || s.Slack > 0 }

// fewest are the values after the warm-up without which there is nothing to say: three a third.
const fewest = 9

// Levels are the medians of the three thirds of the values after the first warm ones. A garbage collector's saw does not show in them.
func (s *Series) Levels(warm int) (first, middle, last float64) {
	v := s.Values[min(warm, len(s.Values)):]
	third := len(v) / 3
	return median(v[:third]), median(v[third : 2*third]), median(v[2*third:])
}

// Rise is an error when the last third is higher than the series' bounds allow, or when there is too little to judge.
func (s *Series) Rise(warm int) error {
	if n := len(s.Values) - warm; n < fewest {
		return fmt.Errorf("%s: %d values after the warm-up, at least %d are needed", s.Name, max(n, 0), fewest)
	}
	first, middle, last := s.Levels(warm)
	if limit := first*(1+s.Growth) + s.Slack; last > limit {
		return fmt.Errorf("%s rises: %s, then %s, then %s, where %s are allowed", s.Name, s.format(first), s.format(middle), s.format(last), s.format(limit))
	}
	return nil
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func (s *Series) format(v float64) string {
	if s.Unit == "B" {
		return fmt.Sprintf("%.1f MiB", v/(1<<20))
	}
	return fmt.Sprintf("%.0f", v)
}
