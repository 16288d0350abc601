package config

import (
	"fmt"
	"strings"
)

// Error says everything that is wrong with a configuration, at once.
type Error struct {
	// Problems are in the order of the keys; unknown keys and file problems come first.
	Problems []Problem
}

// Problem is one thing to mend.
type Problem struct {
	// Key is the setting, or the path of the configuration file when it could not be read.
	Key string
	// Value is what was given, without passwords.
	Value string
	// Reason says what is wrong and which values are right.
	Reason string
	// Source says where the value came from: a flag, an environment variable, a file, "the default".
	Source string
	// Env is the environment variable that mends it; empty where there is none.
	Env string
}

// Error has one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	switch len(e.Problems) {
	case 1:
		lines = append(lines, "configuration: 1 problem")
	default:
		lines = append(lines, fmt.Sprintf("configuration: %d problems", len(e.Problems)))
	}
	for _, p := range e.Problems {
		lines = append(lines, "  "+p.String())
	}
	return strings.Join(lines, "\n")
}

// String is the problem in one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Key)
	if p.Value != "" {
		fmt.Fprintf(&b, " = %q", p.Value)
	}
	if p.Source != "" {
		fmt.Fprintf(&b, " (from %s)", p.Source)
	}
	b.WriteString(" " + p.Reason)
	if p.Env != "" {
		b.WriteString("; to mend it set " + p.Env)
	}
	return b.String()
}
