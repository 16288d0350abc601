package dag

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// settings are what a step, a profile or defaults say about a step; zero fields say nothing.
type settings struct {
	at      string // path of the place that says so, "" for the package's defaults
	queue   string
	timeout time.Duration
	retry   RetryPolicy
	config  json.RawMessage
}

func (o StepOverride) settings() settings {
	return settings{queue: o.Queue, timeout: o.Timeout, retry: o.Retry, config: o.Config}
}

// planner decides what holds for a step under the chosen profiles.
type planner struct {
	workflow *Workflow
	profiles []string // a later one wins
}

// layers lists everything that is said about a step, the strongest first: what profiles say about the step, the step itself, the
// profiles' defaults, the workflow's, the package's.
func (p *planner) layers(step int) []settings {
	s := &p.workflow.Steps[step]
	out := make([]settings, 0, 3+2*len(p.profiles))
	for _, name := range slices.Backward(p.profiles) {
		if o, ok := p.workflow.Profiles[name].Steps[s.Name]; ok {
			l := o.settings()
			l.at = member(member("profiles", name)+".steps", s.Name)
			out = append(out, l)
		}
	}
	out = append(out, settings{at: member("steps", s.Name), queue: s.Queue, timeout: s.Timeout, retry: s.Retry, config: s.Config})
	for _, name := range slices.Backward(p.profiles) {
		d := p.workflow.Profiles[name].Defaults
		out = append(out, settings{at: member("profiles", name) + ".defaults", queue: d.Queue, timeout: d.Timeout, retry: d.Retry})
	}
	d := p.workflow.Defaults
	return append(out,
		settings{at: "defaults", queue: d.Queue, timeout: d.Timeout, retry: d.Retry},
		settings{queue: p.workflow.Namespace, timeout: DefaultStepTimeout, retry: RetryPolicy{
			MaxAttempts: DefaultMaxAttempts, Backoff: BackoffExponential, BaseDelay: DefaultBaseDelay, MaxDelay: DefaultMaxDelay,
		}})
}

// planned is what holds for a step.
type planned struct {
	settings

	baseAt, maxAt string // who said base_delay and max_delay
}

func (p *planner) plan(step int) planned {
	var out planned
	for _, l := range p.layers(step) {
		out.queue = cmp.Or(out.queue, l.queue)
		out.timeout = cmp.Or(out.timeout, l.timeout)
		if len(out.config) == 0 {
			out.config = l.config
		}
		r := &out.retry
		r.MaxAttempts = cmp.Or(r.MaxAttempts, l.retry.MaxAttempts)
		r.Backoff = cmp.Or(r.Backoff, l.retry.Backoff)
		r.Jitter = cmp.Or(r.Jitter, l.retry.Jitter)
		if r.BaseDelay == 0 && l.retry.BaseDelay != 0 {
			r.BaseDelay, out.baseAt = l.retry.BaseDelay, l.at
		}
		if r.MaxDelay == 0 && l.retry.MaxDelay != 0 {
			r.MaxDelay, out.maxAt = l.retry.MaxDelay, l.at
		}
	}
	return out
}

// conflict reports a first delay that is longer than the longest, at the place of the explicit one of both.
func (p *planned) conflict() *FieldError {
	r := &p.retry
	switch {
	case r.BaseDelay <= r.MaxDelay:
		return nil
	case p.baseAt == "":
		return &FieldError{p.maxAt + ".retry.max_delay", fmt.Sprintf(
			"%v is less than the default base_delay of %v; set base_delay, too", r.MaxDelay, r.BaseDelay)}
	case p.maxAt == "":
		return &FieldError{p.baseAt + ".retry.base_delay", fmt.Sprintf(
			"%v is more than the default max_delay of %v; set max_delay, too", r.BaseDelay, r.MaxDelay)}
	}
	return &FieldError{p.baseAt + ".retry.base_delay", fmt.Sprintf(
		"%v is more than the max_delay of %v (%s.retry); raise that or lower this", r.BaseDelay, r.MaxDelay, p.maxAt)}
}

func (p *planned) policy() Policy {
	r := &p.retry
	out := Policy{
		MaxAttempts: r.MaxAttempts, Backoff: r.Backoff, BaseDelay: r.BaseDelay, MaxDelay: r.MaxDelay, Jitter: DefaultJitter,
	}
	if r.Jitter != nil {
		out.Jitter = *r.Jitter
	}
	return out
}
