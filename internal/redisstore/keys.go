package redisstore

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/stepwell/stepwell/pkg/dag"
)

// DefaultPrefix is what every key begins with unless the configuration says otherwise.
const DefaultPrefix = "sw"

// schemaVersion is written at installation. A release that changes the meaning of a key raises it.
const schemaVersion = 1

// Redis types of keys.
const (
	kindHash   = "hash"
	kindString = "string"
	kindList   = "list"
	kindZset   = "zset"
	kindSet    = "set"
)

// place says which of the keys of a kind is meant. Every key needs only some of it.
type place struct {
	partition int
	run       string // ID
	def       string // digest of a graph
	workflow  string // namespace/name
	key       string // idempotency key
	label     string // name=value
}

// placeOf is the place of a run. The error wraps [dag.ErrInvalid].
func placeOf(run, def string) (place, error) {
	p, err := dag.RunPartition(run)
	return place{partition: p, run: run, def: def}, err
}

// keyForm is a row of the schema.
type keyForm struct {
	name  string // in headers of scripts
	kind  string // Redis type
	holds string // what it is, for the documentation
}

// keyForms is the whole schema. [keyspace.key] builds the keys by these names.
func keyForms() []keyForm {
	forms := []keyForm{
		{"run", kindHash, "a run: workflow version def state key total active completed bytes timeout created_at start_at started_at finished_at deadline remaining keep keep_failed labels correlation_id trace_parent ops"},
		{"input", kindString, "the run's input, JSON, opaque"},
		{"output", kindHash, "step → output, JSON, opaque"},
		{"steps", kindHash, "<step>:<field>: state epoch claim lease leaving done dead due attempts failures crashes gen error seen worker queued_at started_at finished_at, and the number of settled parents by outcome, ok skip fail; a step without state is pending"},
		{"log", kindList, "history, oldest first, the last 1,000 lines: JSON [ms, event, step, epoch, attempt, worker, code, message, actor], empty ends cut off"},
		{"def", kindHash, "a frozen graph: graph (as a whole, for readers) total roots steps, and for each step step:<step> children:<step> config:<step>"},
		{"idem", kindHash, "the run of an idempotency key, and the fingerprint of its request"},
		{"agenda", kindZset, "what is to be done, by time: send:ID:step:epoch to hand over, end:ID deadline, purge:ID end of retention"},
		{"claims", kindZset, "ID:step of every running step, by the end of its lease"},
		{"doubts", kindZset, "ID:step of every handed-over queued or retrying step, by when to look whether its task still exists"},
		{"dlq", kindZset, "ID:step of every failed step of runs that nobody cancelled, by the time of failure"},
		{"idx_all", kindZset, "every run, by creation"},
	}
	for _, state := range runStates() {
		forms = append(forms, keyForm{"idx_" + string(state), kindZset, "runs in this state, by creation"})
	}
	return append(forms,
		keyForm{"idx_workflow", kindZset, "runs of a workflow, by creation"},
		keyForm{"idx_label", kindZset, "runs with a label, by creation"},
		keyForm{"install", kindHash, "schema version and number of partitions; written once"},
		keyForm{"workflow", kindHash, "version → registration, JSON"},
		keyForm{"workflows", kindSet, "names of all registered workflows"},
		keyForm{"workers", kindHash, "worker → its last heartbeat, JSON"},
		keyForm{"sweepers", kindZset, "processes that sweep, by until when they count as there"},
		keyForm{"sweep", kindHash, "group of partitions → the sweeper that works on it"},
	)
}

// runStates lists every state that a run can have, in the order of the documentation.
func runStates() []dag.RunState {
	return []dag.RunState{
		dag.RunScheduled, dag.RunRunning, dag.RunPaused, dag.RunSucceeded, dag.RunFailed,
		dag.RunCompensating, dag.RunCompensated, dag.RunCancelling, dag.RunCancelled,
	}
}

// keyspace builds the keys of an installation.
type keyspace struct{ prefix string }

// key returns the key that a header of a script calls name.
func (k keyspace) key(name string, at place) string {
	switch name {
	case "install", "workers", "sweepers", "sweep":
		return k.global() + name
	case "workflow":
		return k.global() + "wf:" + at.workflow
	case "workflows":
		return k.global() + "wf"
	}
	return k.tag(at.partition) + suffix(name, at)
}

func suffix(name string, at place) string {
	switch name {
	case "run", "steps", "log":
		return name + ":" + at.run
	case "input":
		return "in:" + at.run
	case "output":
		return "out:" + at.run
	case "def":
		return "def:" + at.def
	case "idem":
		return "idem:" + at.workflow + ":" + at.key
	case "agenda", "claims", "doubts", "dlq":
		return name
	case "idx_all":
		return "idx:all"
	case "idx_workflow":
		return "idx:workflow:" + at.workflow
	case "idx_label":
		return "idx:label:" + at.label
	}
	return "idx:state:" + strings.TrimPrefix(name, "idx_")
}

// tag is what the keys of a partition begin with: one slot of a cluster.
func (k keyspace) tag(partition int) string {
	const digits = "0123456789abcdef" // much faster than fmt; this runs a dozen times a script
	return "{" + k.prefix + ":" + string([]byte{digits[partition>>4], digits[partition&15]}) + "}:"
}

// global is what the keys begin with that belong to no partition. No script mixes them with keys of one.
func (k keyspace) global() string { return "{" + k.prefix + "}:" }

// sendMember is the entry of a delivery in the agenda.
func sendMember(d dag.Delivery) string {
	return "send:" + d.Run + ":" + d.Step + ":" + strconv.Itoa(d.Epoch)
}

// parseMember reads a step in claims, doubts and dlq.
func parseMember(member string) (run, step string, err error) {
	run, step, ok := strings.Cut(member, ":")
	if !ok || step == "" {
		return "", "", fmt.Errorf("entry %q does not name a step of a run", member)
	}
	return run, step, nil
}
