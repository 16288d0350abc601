package dag

import (
	"encoding/json"
	"time"
)

// Workflow is a versioned definition: steps, and which steps each of them depends on. It is data; nothing of it is code. The zero value
// of every optional field means its default. A Workflow is compiled to a [Graph] before it runs.
type Workflow struct {
	Namespace   string // [a-z][a-z0-9_-]{0,62}
	Name        string // unique in its namespace
	Version     string // semantic version, for example 1.0.0; versions live side by side
	Description string

	// Timeout of a whole run; 0 means [DefaultRunTimeout].
	Timeout time.Duration
	// Keep and KeepFailed are how long a run is kept after its end, the second when it failed; 0 means what the installation has, [Forever] never removes.
	Keep, KeepFailed time.Duration
	// Defaults for steps that say nothing themselves.
	Defaults Defaults
	// InputSchema is a JSON Schema (2020-12) that a run's input must satisfy; nil accepts any JSON.
	InputSchema json.RawMessage
	Steps       []Step
	// Profiles are named sets of changes, chosen when a run starts.
	Profiles map[string]Profile
}

// FullName is namespace/name.
func (w *Workflow) FullName() string { return w.Namespace + "/" + w.Name }

// Step is a node of a [Workflow].
type Step struct {
	Name        string
	Handler     string   // [a-z0-9_.-]{1,128}; the name under which a worker registered the code
	DependsOn   []string // names of steps that must be settled before this one
	Description string
	Queue       string          // "" means the default, which is the namespace unless Defaults say otherwise
	Timeout     time.Duration   // of one attempt; 0 means the default
	Retry       RetryPolicy     // zero fields mean the default
	Config      json.RawMessage // handed to the handler as it is; an object, or nil
}

// Defaults are what steps have in common. Zero fields mean the package's defaults.
type Defaults struct {
	Queue   string
	Timeout time.Duration
	Retry   RetryPolicy
}

// Backoff is how the delay between attempts grows.
type Backoff string

// The ways in which delays grow: base, base, base · base, 2 base, 3 base · base, 2 base, 4 base.
const (
	BackoffConstant    Backoff = "constant"
	BackoffLinear      Backoff = "linear"
	BackoffExponential Backoff = "exponential"
)

// RetryPolicy says how often and when a failed step is tried again. Zero fields mean the default.
type RetryPolicy struct {
	MaxAttempts int           // failed attempts, the first included, until the step is failed; crashes are counted apart
	Backoff     Backoff       // exponential by default
	BaseDelay   time.Duration // delay after the first failure
	MaxDelay    time.Duration // bound of every delay, jitter and Retry-After included
	// Jitter is the share, 0 to 1, by which a delay is moved at random in either direction. Nil means [DefaultJitter].
	Jitter *float64
}

// Profile changes a workflow when a run starts with it: first its defaults, then the steps that it names. Profiles are applied
// in the order given, a later one wins.
type Profile struct {
	Defaults Defaults
	Steps    map[string]StepOverride
}

// StepOverride is what a profile may change of a step; zero fields change nothing.
type StepOverride struct {
	Queue   string
	Timeout time.Duration
	Retry   RetryPolicy
	Config  json.RawMessage // replaces the step's config as a whole
}
