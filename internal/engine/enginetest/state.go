package enginetest

import (
	"bytes"
	"encoding/json"
	"maps"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Fields are the fields of a hash, by the names that docs/redis-schema.md gives them. Numbers are decimal, times are Unix
// milliseconds, lists of nonces are joined by commas, flags are "1".
type Fields map[string]string

// State is all that a store holds of runs, over all partitions, in the words of the Redis schema: two stores that are in the same state
// have equal States after [State.Normalize], compared with go-cmp. Keys carry no prefix. Nothing of the catalogue is in it.
//
// What the store's description leaves open is decided here:
//   - A field or an entry is absent, "" or "0" alike; a hash, list or set without entries is as good as none.
//   - A step that queue() turns into cancelled (run cancelling or cancelled) has its epoch raised and queued_at set like a queued one, no due, and
//     finished_at; its transition is logged as it would be in a running run (released, reissued, crashed).
//   - In a cancelling run no reissue fails a step: also the third crash cancels it.
//   - fail in a cancelling run stores the error, logs "cancelled" without code and message, and ends with the end test; no outcome is told to children.
//     expire of a cancelling run logs "cancelled" for every active step, stores no error and tells children nothing.
//   - fail with delay 0 stores due = now.
//   - expire of a run that is not cancelling logs "failed" with code and message for each active step in topological order, then "expired" (no run_failed).
//   - Every log entry of a step shows epoch, attempt and worker of the step as the transition leaves them: "released" and "reissued" show
//     the new epoch. A third crash logs crashed, failed and, if it ends the run, run_failed, in this order; the crash's line has the epoch that died.
//     A transition's own line comes before the line of the end of the run. Log entries of runs: created, run_succeeded, run_failed, run_cancelled, expired,
//     and paused, resumed, cancel_requested with an operator's reason and name.
//   - skip and resolve keep epoch, worker and attempts of the step; nonces, failures, crashes and error go. Its delivery is stale, also that of a failed
//     step, whose task the queue keeps. In a scheduled run the children may begin at once.
//   - cancel logs cancel_requested, then "cancelled" for every queued and retrying step in topological order; a pending one becomes cancelled without a
//     line. A retrying step keeps its error.
//   - resume logs "reissued" for every queued and retrying step in topological order, after its own line; nothing is stale.
//   - A deadline that has passed when a run is paused leaves 1 ms.
type State struct {
	Runs    map[string]Fields            // run:ID
	Inputs  map[string]string            // in:ID
	Outputs map[string]Fields            // out:ID; step → JSON
	Steps   map[string]map[string]Fields // steps:ID, its fields split at the last colon: run → step → field
	Logs    map[string][]string          // log:ID; JSON arrays, oldest first

	Agenda map[string]int64 // agenda of every partition: member → score, ms
	Claims map[string]int64 // claims
	Doubts map[string]int64 // doubts
	DLQ    map[string]int64 // dlq

	Index map[string]map[string]int64 // idx:…, by what follows "idx:", for example state:running: run → score, ms
	Idem  map[string]Fields           // idem:…, by what follows "idem:", NS/NAME:KEY; fields run (the ID) and fingerprint
}

// NewState returns a State whose maps can be written to.
func NewState() State {
	return State{
		Runs: map[string]Fields{}, Inputs: map[string]string{}, Outputs: map[string]Fields{}, Steps: map[string]map[string]Fields{}, Logs: map[string][]string{},
		Agenda: map[string]int64{}, Claims: map[string]int64{}, Doubts: map[string]int64{}, DLQ: map[string]int64{},
		Index: map[string]map[string]int64{}, Idem: map[string]Fields{},
	}
}

// Normalize removes what makes no difference: empty fields and containers, the order of JSON fields and JSON white space in
// labels, errors and log entries. Inputs and outputs stay to the byte: a store must not touch them.
func (s *State) Normalize() {
	s.tidy()
	for _, run := range s.Runs {
		normalField[map[string]string](run, "labels")
	}
	for _, steps := range s.Steps {
		for _, step := range steps {
			normalField[dag.StepError](step, "error")
		}
	}
	for _, lines := range s.Logs {
		for i := range lines {
			lines[i] = normalLine(lines[i])
		}
	}
}

// tidy is the cheap half of Normalize: it removes empty fields and containers.
func (s *State) tidy() {
	for _, run := range s.Runs {
		run.tidy()
	}
	for _, steps := range s.Steps {
		for _, step := range steps {
			step.tidy()
		}
		maps.DeleteFunc(steps, func(_ string, f Fields) bool { return len(f) == 0 })
	}
	maps.DeleteFunc(s.Steps, func(_ string, m map[string]Fields) bool { return len(m) == 0 })
	maps.DeleteFunc(s.Logs, func(_ string, l []string) bool { return len(l) == 0 })
	maps.DeleteFunc(s.Outputs, func(_ string, f Fields) bool { return len(f) == 0 })
	maps.DeleteFunc(s.Index, func(_ string, m map[string]int64) bool { return len(m) == 0 })
}

func (f Fields) tidy() { maps.DeleteFunc(f, func(_, v string) bool { return v == "" || v == "0" }) }

func normalField[T any](f Fields, name string) {
	if text, ok := f[name]; ok {
		f[name] = normalJSON[T](text)
	}
}

// normalJSON reads text as a T and writes it again; text that is no T stays as it is and will differ.
func normalJSON[T any](text string) string {
	var v T
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	out, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return string(out)
}

// normalLine writes a log entry without white space and trailing empties.
func normalLine(line string) string {
	var parts []any
	dec := json.NewDecoder(bytes.NewReader([]byte(line)))
	dec.UseNumber()
	if dec.Decode(&parts) != nil {
		return line
	}
	for n := len(parts); n > 0 && (parts[n-1] == "" || parts[n-1] == json.Number("0")); n-- {
		parts = parts[:n-1]
	}
	out, err := json.Marshal(parts)
	if err != nil {
		return line
	}
	return string(out)
}
