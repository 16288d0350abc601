package definition

import (
	"errors"
	"strconv"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/stepwell/stepwell/pkg/dag"
)

// workflow reads the whole file.
func (r *reader) workflow(body ast.Node) *dag.Workflow {
	w := &dag.Workflow{}
	r.at[""] = tokenOf(body)
	r.object(body, "", map[string]field{
		"namespace":        r.text(&w.Namespace),
		"name":             r.text(&w.Name),
		"version":          r.text(&w.Version),
		"description":      r.text(&w.Description),
		"timeout":          r.duration(&w.Timeout),
		"retention":        r.keep(&w.Keep),
		"retention_failed": r.keep(&w.KeepFailed),
		"defaults":         r.defaults(&w.Defaults),
		"input_schema":     r.schema(&w.InputSchema),
		"steps":            r.steps(&w.Steps),
		"profiles":         r.profiles(w),
	})
	r.validate(w)
	return w
}

func (r *reader) defaults(to *dag.Defaults) field {
	return func(n ast.Node, path string) {
		r.object(n, path, map[string]field{
			"queue": r.text(&to.Queue), "timeout": r.duration(&to.Timeout), "retry": r.retry(&to.Retry),
		})
	}
}

func (r *reader) retry(to *dag.RetryPolicy) field {
	return func(n ast.Node, path string) {
		r.object(n, path, map[string]field{
			"max_attempts": r.positive(&to.MaxAttempts),
			"backoff":      r.text((*string)(&to.Backoff)),
			"base_delay":   r.duration(&to.BaseDelay),
			"max_delay":    r.duration(&to.MaxDelay),
			"jitter":       r.share(&to.Jitter),
		})
	}
}

func (r *reader) steps(to *[]dag.Step) field {
	return func(n ast.Node, path string) {
		r.list(n, path, func(i int, n ast.Node, path string) {
			var s dag.Step
			r.object(n, path, map[string]field{
				"name":        r.text(&s.Name),
				"handler":     r.text(&s.Handler),
				"depends_on":  r.names(&s.DependsOn),
				"description": r.text(&s.Description),
				"queue":       r.text(&s.Queue),
				"timeout":     r.duration(&s.Timeout),
				"retry":       r.retry(&s.Retry),
				"config":      r.config(&s.Config),
			})
			if _, taken := r.alias[s.Name]; !taken && plain(s.Name) {
				r.alias[s.Name] = "steps[" + strconv.Itoa(i) + "]"
			}
			*to = append(*to, s)
		})
	}
}

func (r *reader) names(to *[]string) field {
	return func(n ast.Node, path string) {
		r.list(n, path, func(_ int, n ast.Node, path string) {
			var name string
			r.text(&name)(n, path)
			*to = append(*to, name)
		})
	}
}

func (r *reader) profiles(w *dag.Workflow) field {
	return func(n ast.Node, path string) {
		w.Profiles = map[string]dag.Profile{}
		r.entries(n, path, func(name string, _ *token.Token, n ast.Node) {
			var p dag.Profile
			r.object(n, join(path, name), map[string]field{"defaults": r.defaults(&p.Defaults), "steps": r.overrides(&p)})
			w.Profiles[name] = p
		})
	}
}

func (r *reader) overrides(p *dag.Profile) field {
	return func(n ast.Node, path string) {
		p.Steps = map[string]dag.StepOverride{}
		r.entries(n, path, func(step string, _ *token.Token, n ast.Node) {
			var o dag.StepOverride
			r.object(n, join(path, step), map[string]field{
				"queue": r.text(&o.Queue), "timeout": r.duration(&o.Timeout), "retry": r.retry(&o.Retry), "config": r.config(&o.Config),
			})
			p.Steps[step] = o
		})
	}
}

// validate leads what [dag.Workflow.Validate] finds back to its places, and leaves out what only follows from a problem that is known.
func (r *reader) validate(w *dag.Workflow) {
	for _, err := range split(w.Validate()) {
		if f, ok := errors.AsType[*dag.FieldError](err); ok {
			if path := r.canonical(f.Path); !r.known(path) {
				r.problemAt(r.locate(path), f.Error())
			}
			continue
		}
		var at *token.Token
		if c, ok := errors.AsType[*dag.CycleError](err); ok {
			at = r.locate(r.dependency(w, c.Path))
		}
		r.problemAt(at, err.Error())
	}
}

// split undoes errors.Join.
func split(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// dependency is the path to the entry by which the first step of a circle waits for the last.
func (r *reader) dependency(w *dag.Workflow, circle []string) string {
	if len(circle) < 2 {
		return "steps"
	}
	path := r.canonical("steps." + circle[0])
	for i := range w.Steps {
		if w.Steps[i].Name != circle[0] {
			continue
		}
		for j, p := range w.Steps[i].DependsOn {
			if p == circle[len(circle)-2] {
				return path + ".depends_on[" + strconv.Itoa(j) + "]"
			}
		}
	}
	return path
}
