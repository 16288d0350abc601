package dag

import (
	"encoding/json"
	"time"
)

// Graph is a compiled, validated [Workflow] with its profiles applied and every default filled in. A run stores the digest of its
// graph and keeps that graph for life. A Graph is never changed after [Compile] made it, so it may be shared.
type Graph struct {
	Namespace, Name, Version string
	Profiles                 []string // applied, in order
	Timeout                  time.Duration
	Nodes                    []Node // in topological order, ties in the order of definition
	// Digest is 32 hexadecimal digits, the first half of the SHA-256 of everything above in canonical JSON.
	Digest string
}

// Node is a step of a [Graph].
type Node struct {
	Name     string
	Handler  string
	Queue    string
	Parents  []string // in the order of definition
	Children []string // in topological order
	Join     Join
	Timeout  time.Duration
	Retry    Policy
	Config   json.RawMessage // nil when the step has none
}

// Join says when a step may run, by the outcomes of its parents.
type Join string

// JoinNoneFailed runs a step when all its parents are settled and none failed; a skipped parent counts as done, without output.
// A step with a failed parent stays pending: it can no longer run unless an operator retries the parent.
const JoinNoneFailed Join = "none_failed"

// Policy is a [RetryPolicy] with every default filled in.
type Policy struct {
	MaxAttempts int
	Backoff     Backoff
	BaseDelay   time.Duration
	MaxDelay    time.Duration
	Jitter      float64
}
