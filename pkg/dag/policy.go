package dag

import (
	"math"
	"time"
)

// Delay is how long to wait after so many failed attempts, from 1. Random is from [0, 1); with the policy's jitter it moves the delay
// in either direction. The result is never below 0 nor above MaxDelay.
func (p Policy) Delay(failures int, random float64) time.Duration {
	n := float64(max(failures, 1))
	d := float64(p.BaseDelay)
	switch p.Backoff {
	case BackoffConstant:
	case BackoffLinear:
		d *= n
	case BackoffExponential:
		d *= math.Pow(2, n-1) // at worst +Inf, which the bound takes care of
	}
	d = min(d, float64(p.MaxDelay))
	d += d * p.Jitter * (2*random - 1)
	if d >= float64(p.MaxDelay) { // also keeps the conversion in range
		return max(p.MaxDelay, 0)
	}
	return max(time.Duration(d), 0)
}

// RetryAfter bounds the delay that a provider asked for: at least 0, at most MaxDelay.
func (p Policy) RetryAfter(d time.Duration) time.Duration {
	return max(min(d, p.MaxDelay), 0)
}
