package dag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Validate reports everything that is wrong with the definition at once: an errors.Join of [*FieldError] in the order of the
// definition, then one [*CycleError] for each group of steps that wait for each other. All unwrap to [ErrInvalid].
// [Compile] without profiles succeeds exactly when Validate does.
func (w *Workflow) Validate() error {
	c := checker{workflow: w, index: make(map[string]int, len(w.Steps)), seen: map[FieldError]bool{}}
	c.head()
	c.defaults("defaults", w.Defaults)
	c.steps()
	c.profiles()
	if len(w.Steps) <= MaxSteps {
		c.delays()
		c.cycles()
	}
	return errors.Join(c.errs...)
}

// suggestions bounds how many misspelt names one Validate compares with all others.
const suggestions = 16

type checker struct {
	workflow *Workflow
	errs     []error
	seen     map[FieldError]bool
	names    []string       // of steps, for suggestions
	index    map[string]int // name of a step → where it was first defined
	asked    int            // suggestions looked for
}

func (c *checker) add(path, message string) {
	e := FieldError{path, message}
	if message == "" || c.seen[e] {
		return
	}
	c.seen[e] = true
	c.errs = append(c.errs, &e)
}

func (c *checker) addf(path, format string, args ...any) { c.add(path, fmt.Sprintf(format, args...)) }

func (c *checker) name(path, s string) {
	p := nameProblem(s)
	if p != "" && s != "" {
		p = quote(s) + " is no name: " + p
	}
	c.add(path, p)
}

func (c *checker) head() {
	w := c.workflow
	c.name("namespace", w.Namespace)
	c.name("name", w.Name)
	c.add("version", versionProblem(w.Version))
	c.add("description", textProblem(w.Description))
	c.between("timeout", w.Timeout, MinRunTimeout, MaxRunTimeout)
	c.keep("retention", w.Keep)
	c.keep("retention_failed", w.KeepFailed)
	if len(w.InputSchema) > 0 {
		p := jsonProblem(w.InputSchema, MaxSourceBytes)
		if first := bytes.TrimSpace(w.InputSchema); p == "" && first[0] != '{' && string(first) != "true" && string(first) != "false" {
			p = "it must be a JSON Schema: an object, true or false"
		}
		if p == "" {
			p = keyProblem(w.InputSchema)
		}
		c.add("input_schema", p)
	}
}

func (c *checker) steps() {
	steps := c.workflow.Steps
	if len(steps) == 0 {
		c.add("steps", "a workflow needs at least one step")
	}
	if len(steps) > MaxSteps {
		c.addf("steps", "there are %d, more than the limit of %d", len(steps), MaxSteps)
	}
	edges := 0
	for i := range steps {
		edges += len(steps[i].DependsOn)
		if name := steps[i].Name; nameProblem(name) == "" {
			if _, twice := c.index[name]; !twice {
				c.index[name] = i
				c.names = append(c.names, name)
			}
		}
	}
	if edges > MaxEdges {
		c.addf("steps", "there are %d dependencies, more than the limit of %d", edges, MaxEdges)
	}
	for i := range steps {
		c.step(i, &steps[i])
	}
}

func (c *checker) step(i int, s *Step) {
	at := "steps[" + strconv.Itoa(i) + "]"
	c.name(at+".name", s.Name)
	if first, ok := c.index[s.Name]; ok && first == i {
		at = "steps." + s.Name
	} else if ok {
		c.addf(at+".name", "%s is already the name of steps[%d]; give each step a name of its own", quote(s.Name), first)
	}
	if p := handlerProblem(s.Handler); p != "" && s.Handler != "" {
		c.add(at+".handler", quote(s.Handler)+" is no handler name: "+p)
	} else {
		c.add(at+".handler", p)
	}
	c.add(at+".description", textProblem(s.Description))
	c.parents(at, s)
	c.settings(at, settings{queue: s.Queue, timeout: s.Timeout, retry: s.Retry, config: s.Config})
}

func (c *checker) parents(at string, s *Step) {
	seen := make(map[string]bool, len(s.DependsOn))
	for i, parent := range s.DependsOn {
		path := at + ".depends_on[" + strconv.Itoa(i) + "]"
		switch _, known := c.index[parent]; {
		case seen[parent]:
			c.addf(path, "%s is listed twice; remove one", quote(parent))
		case parent == s.Name:
			c.addf(path, "step %s depends on itself; remove this dependency", quote(parent))
		case !known:
			c.add(path, c.unknownStep(parent))
		}
		seen[parent] = true
	}
}

func (c *checker) unknownStep(name string) string {
	p := "there is no step " + quote(name)
	if c.asked++; c.asked > suggestions || len(name) > MaxNameBytes {
		return p
	}
	if n := Nearest(name, c.names); n != "" {
		p += "; did you mean " + quote(n) + "?"
	}
	return p
}

func (c *checker) profiles() {
	if n := len(c.workflow.Profiles); n > MaxProfiles {
		c.addf("profiles", "there are %d, more than the limit of %d", n, MaxProfiles)
	}
	for _, name := range slices.Sorted(maps.Keys(c.workflow.Profiles)) {
		at := member("profiles", name)
		c.name(at, name)
		p := c.workflow.Profiles[name]
		c.defaults(at+".defaults", p.Defaults)
		for _, step := range slices.Sorted(maps.Keys(p.Steps)) {
			path := member(at+".steps", step)
			if _, ok := c.index[step]; !ok {
				c.add(path, c.unknownStep(step))
			}
			c.settings(path, p.Steps[step].settings())
		}
	}
}

func (c *checker) defaults(at string, d Defaults) {
	c.settings(at, settings{queue: d.Queue, timeout: d.Timeout, retry: d.Retry})
}

// settings checks what may stand in defaults, steps and profiles alike.
func (c *checker) settings(at string, s settings) {
	if s.queue != "" {
		c.name(at+".queue", s.queue)
	}
	c.between(at+".timeout", s.timeout, MinStepTimeout, MaxStepTimeout)
	c.retry(at+".retry", s.retry)
	if len(s.config) == 0 {
		return
	}
	p := jsonProblem(s.config, MaxSourceBytes)
	if p == "" && bytes.TrimSpace(s.config)[0] != '{' {
		p = "it must be a JSON object"
	}
	if p == "" {
		p = keyProblem(s.config)
	}
	c.add(at+".config", p)
}

func (c *checker) retry(at string, r RetryPolicy) {
	if r.MaxAttempts < 0 || r.MaxAttempts > MaxAttempts {
		c.addf(at+".max_attempts", "%d is not between 1 and %d; it counts all attempts, the first included", r.MaxAttempts, MaxAttempts)
	}
	switch r.Backoff {
	case "", BackoffConstant, BackoffLinear, BackoffExponential:
	default:
		c.addf(at+".backoff", "there is no back-off %s; use constant, linear or exponential", quote(string(r.Backoff)))
	}
	c.between(at+".base_delay", r.BaseDelay, time.Nanosecond, MaxRetryDelay)
	c.between(at+".max_delay", r.MaxDelay, time.Nanosecond, MaxRetryDelay)
	if j := r.Jitter; j != nil && !(*j >= 0 && *j <= 1) { // NaN fails both
		c.addf(at+".jitter", "%v is not between 0 and 1", *j)
	}
}

// between lets 0 pass, which means the default.
func (c *checker) between(path string, d, low, high time.Duration) {
	switch {
	case d == 0 || d >= low && d <= high:
	case low == time.Nanosecond:
		c.addf(path, "%v is not a positive duration of at most %v", d, high)
	default:
		c.addf(path, "%v is not between %v and %v", d, low, high)
	}
}

// keep lets 0 pass, which means what the installation has.
func (c *checker) keep(path string, d time.Duration) {
	if d != 0 && d != Forever && (d < MinKeep || d > MaxKeep) {
		c.addf(path, "%v is not between %v and %v; give a time in between, or forever", d, MinKeep, MaxKeep)
	}
}

// delays checks the policies that come out for each step, without a profile and with each alone.
func (c *checker) delays() {
	none := planner{workflow: c.workflow}
	c.conflicts(&none)
	for _, name := range slices.Sorted(maps.Keys(c.workflow.Profiles)) {
		c.conflicts(&planner{workflow: c.workflow, profiles: []string{name}})
	}
}

func (c *checker) conflicts(p *planner) {
	for i := range c.workflow.Steps {
		if first, ok := c.index[c.workflow.Steps[i].Name]; !ok || first != i {
			continue
		}
		planned := p.plan(i)
		if e := planned.conflict(); e != nil {
			c.add(e.Path, e.Message)
		}
	}
}

func (c *checker) cycles() {
	for _, path := range findCycles(c.workflow.Steps, c.index) {
		c.errs = append(c.errs, &CycleError{Path: path})
	}
}

// member is the path to the value of a map; names that are none are quoted.
func member(path, name string) string {
	if nameProblem(name) == "" {
		return path + "." + name
	}
	return path + "[" + quote(name) + "]"
}

func keyProblem(raw json.RawMessage) string {
	if _, err := canonical(raw); err != nil {
		return err.Error()
	}
	return ""
}
