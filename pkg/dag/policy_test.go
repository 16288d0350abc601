package dag_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stepwell/stepwell/pkg/dag"
)

func TestDelay(t *testing.T) {
	t.Parallel()
	const s = time.Second
	policy := func(b dag.Backoff, jitter float64) dag.Policy {
		return dag.Policy{MaxAttempts: 9, Backoff: b, BaseDelay: s, MaxDelay: 10 * s, Jitter: jitter}
	}
	cases := []struct {
		name     string
		policy   dag.Policy
		failures int
		random   float64
		want     time.Duration
	}{
		{"constant", policy(dag.BackoffConstant, 0), 7, 0, s},
		{"linear", policy(dag.BackoffLinear, 0), 3, 0, 3 * s},
		{"linear capped", policy(dag.BackoffLinear, 0), 30, 0, 10 * s},
		{"exponential 1", policy(dag.BackoffExponential, 0), 1, 0, s},
		{"exponential 2", policy(dag.BackoffExponential, 0), 2, 0, 2 * s},
		{"exponential 4", policy(dag.BackoffExponential, 0), 4, 0, 8 * s},
		{"exponential capped", policy(dag.BackoffExponential, 0), 5, 0, 10 * s},
		{"exponential far", policy(dag.BackoffExponential, 0), math.MaxInt, 0, 10 * s},
		{"no failure counts as one", policy(dag.BackoffLinear, 0), 0, 0, s},
		{"jitter down", policy(dag.BackoffConstant, 0.1), 1, 0, 900 * time.Millisecond},
		{"jitter middle", policy(dag.BackoffConstant, 0.1), 1, 0.5, s},
		{"jitter up", policy(dag.BackoffConstant, 0.5), 1, 0.75, 1250 * time.Millisecond},
		{"jitter never over the cap", policy(dag.BackoffExponential, 0.5), 9, 0.999, 10 * s},
		{"jitter down from the cap", policy(dag.BackoffExponential, 0.5), 9, 0, 5 * s},
		{"jitter to zero", policy(dag.BackoffConstant, 1), 1, 0, 0},
		{"longest", dag.Policy{Backoff: dag.BackoffExponential, BaseDelay: math.MaxInt64, MaxDelay: math.MaxInt64, Jitter: 1}, 99, 0.99, math.MaxInt64},
		{"zero policy", dag.Policy{}, 3, 0.9, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := c.policy.Delay(c.failures, c.random); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestDelayStaysInBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := dag.Policy{
			Backoff:   rapid.SampledFrom([]dag.Backoff{dag.BackoffConstant, dag.BackoffLinear, dag.BackoffExponential}).Draw(t, "backoff"),
			BaseDelay: time.Duration(rapid.Int64Min(0).Draw(t, "base")),
			MaxDelay:  time.Duration(rapid.Int64Min(0).Draw(t, "max")),
			Jitter:    rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		failures := rapid.IntMin(0).Draw(t, "failures")
		if d := p.Delay(failures, rapid.Float64Range(0, 0.9999999).Draw(t, "random")); d < 0 || d > p.MaxDelay {
			t.Fatalf("%+v after %d failures: %v", p, failures, d)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	p := dag.Policy{MaxDelay: time.Minute}
	for d, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, 30 * time.Second: 30 * time.Second, time.Hour: time.Minute,
	} {
		if got := p.RetryAfter(d); got != want {
			t.Errorf("%v: got %v, want %v", d, got, want)
		}
	}
}
