package dag

import (
	"encoding/json"
	"fmt"
	"time"
)

func (w *Workflow) wire() wireWorkflow {
	out := wireWorkflow{
		Defaults: w.Defaults.wire(), Description: w.Description, InputSchema: w.InputSchema,
		Name: w.Name, Namespace: w.Namespace, Timeout: duration(w.Timeout), Version: w.Version,
		Keep: retention(w.Keep), KeepFailed: retention(w.KeepFailed),
		Steps: make([]wireStep, len(w.Steps)),
	}
	for i, s := range w.Steps {
		out.Steps[i] = wireStep{
			Config: s.Config, DependsOn: s.DependsOn, Description: s.Description, Handler: s.Handler,
			Name: s.Name, Queue: s.Queue, Retry: s.Retry.wire(), Timeout: duration(s.Timeout),
		}
	}
	if len(w.Profiles) > 0 {
		out.Profiles = make(map[string]wireProfile, len(w.Profiles))
	}
	for name, p := range w.Profiles {
		out.Profiles[name] = p.wire()
	}
	return out
}

func (w *wireWorkflow) workflow() Workflow {
	out := Workflow{
		Namespace: w.Namespace, Name: w.Name, Version: w.Version, Description: w.Description,
		Timeout: time.Duration(w.Timeout), Keep: time.Duration(w.Keep), KeepFailed: time.Duration(w.KeepFailed), Defaults: w.Defaults.defaults(), InputSchema: present(w.InputSchema),
	}
	if len(w.Steps) > 0 {
		out.Steps = make([]Step, len(w.Steps))
	}
	for i, s := range w.Steps {
		out.Steps[i] = Step{
			Name: s.Name, Handler: s.Handler, DependsOn: s.DependsOn, Description: s.Description, Queue: s.Queue,
			Timeout: time.Duration(s.Timeout), Retry: s.Retry.policy(), Config: present(s.Config),
		}
	}
	if len(w.Profiles) > 0 {
		out.Profiles = make(map[string]Profile, len(w.Profiles))
	}
	for name, p := range w.Profiles {
		out.Profiles[name] = p.profile()
	}
	return out
}

func (p Profile) wire() wireProfile {
	out := wireProfile{Defaults: p.Defaults.wire()}
	if len(p.Steps) > 0 {
		out.Steps = make(map[string]wireOverride, len(p.Steps))
	}
	for name, o := range p.Steps {
		out.Steps[name] = wireOverride{Config: o.Config, Queue: o.Queue, Retry: o.Retry.wire(), Timeout: duration(o.Timeout)}
	}
	return out
}

func (p wireProfile) profile() Profile {
	out := Profile{Defaults: p.Defaults.defaults()}
	if len(p.Steps) > 0 {
		out.Steps = make(map[string]StepOverride, len(p.Steps))
	}
	for name, o := range p.Steps {
		out.Steps[name] = StepOverride{
			Queue: o.Queue, Timeout: time.Duration(o.Timeout), Retry: o.Retry.policy(), Config: present(o.Config),
		}
	}
	return out
}

func (d Defaults) wire() wireDefaults {
	return wireDefaults{Queue: d.Queue, Retry: d.Retry.wire(), Timeout: duration(d.Timeout)}
}

func (d wireDefaults) defaults() Defaults {
	return Defaults{Queue: d.Queue, Timeout: time.Duration(d.Timeout), Retry: d.Retry.policy()}
}

func (r RetryPolicy) wire() wireRetry {
	return wireRetry{
		Backoff: r.Backoff, BaseDelay: duration(r.BaseDelay), Jitter: r.Jitter,
		MaxAttempts: r.MaxAttempts, MaxDelay: duration(r.MaxDelay),
	}
}

func (r wireRetry) policy() RetryPolicy {
	return RetryPolicy{
		MaxAttempts: r.MaxAttempts, Backoff: r.Backoff,
		BaseDelay: time.Duration(r.BaseDelay), MaxDelay: time.Duration(r.MaxDelay), Jitter: r.Jitter,
	}
}

func (g *Graph) wire() wireGraph {
	out := wireGraph{
		Digest: g.Digest, Name: g.Name, Namespace: g.Namespace, Profiles: g.Profiles,
		Timeout: duration(g.Timeout), Version: g.Version, Nodes: make([]wireNode, len(g.Nodes)),
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		out.Nodes[i] = wireNode{
			Children: n.Children, Config: n.Config, Handler: n.Handler, Join: n.Join, Name: n.Name,
			Parents: n.Parents, Queue: n.Queue, Timeout: duration(n.Timeout),
			Retry: wirePolicy{
				Backoff: n.Retry.Backoff, BaseDelay: duration(n.Retry.BaseDelay), Jitter: n.Retry.Jitter,
				MaxAttempts: n.Retry.MaxAttempts, MaxDelay: duration(n.Retry.MaxDelay),
			},
		}
	}
	return out
}

func (w *wireGraph) graph() (Graph, error) {
	out := Graph{
		Namespace: w.Namespace, Name: w.Name, Version: w.Version, Profiles: w.Profiles,
		Timeout: time.Duration(w.Timeout), Digest: w.Digest,
	}
	if len(w.Nodes) > 0 {
		out.Nodes = make([]Node, len(w.Nodes))
	}
	for i, n := range w.Nodes {
		if !n.Join.known() {
			return Graph{}, fmt.Errorf("%w graph of %s: step %s has the unknown join rule %s; it is from a newer release",
				ErrInvalid, out.FullName(), quote(n.Name), quote(string(n.Join)))
		}
		config, err := canonicalOrNil(n.Config)
		if err != nil {
			return Graph{}, fmt.Errorf("config of step %s: %w", quote(n.Name), err)
		}
		out.Nodes[i] = Node{
			Name: n.Name, Handler: n.Handler, Queue: n.Queue, Parents: n.Parents, Children: n.Children, Join: n.Join,
			Timeout: time.Duration(n.Timeout), Config: config,
			Retry: Policy{
				MaxAttempts: n.Retry.MaxAttempts, Backoff: n.Retry.Backoff, BaseDelay: time.Duration(n.Retry.BaseDelay),
				MaxDelay: time.Duration(n.Retry.MaxDelay), Jitter: n.Retry.Jitter,
			},
		}
	}
	return out, nil
}

// canonicalOrNil undoes what other writers of JSON do to a config, such as escaping < and >.
func canonicalOrNil(raw json.RawMessage) (json.RawMessage, error) {
	if raw = present(raw); raw == nil {
		return nil, nil
	}
	return CanonicalJSON(raw)
}
