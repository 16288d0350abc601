package enginetest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// OpenMemory is the [Open] of [Memory].
func OpenMemory(t TB) Subject {
	t.Helper()
	return memorySubject{NewMemory(Epoch())}
}

type memorySubject struct{ *Memory }

func (m memorySubject) Dump(context.Context) (State, error) { return m.dump(), nil }

func (m memorySubject) SetTime(_ context.Context, now time.Time) error {
	m.Memory.SetTime(now)
	return nil
}

// Dump returns all that the store holds of runs, normalized.
func (m *Memory) Dump() State {
	s := m.dump()
	s.Normalize()
	return s
}

func (m *Memory) dump() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := NewState()
	for i := range m.partitions {
		p := &m.partitions[i]
		for _, r := range p.runs {
			r.dump(&s)
		}
		for key, record := range p.idem {
			s.Idem[key] = Fields{"run": record.run, "fingerprint": record.fingerprint}
		}
		maps.Copy(s.Agenda, p.agenda)
		maps.Copy(s.Claims, p.claims)
		maps.Copy(s.Doubts, p.doubts)
		maps.Copy(s.DLQ, p.dlq)
	}
	return s
}

func (r *run) dump(s *State) {
	s.Inputs[r.id] = string(r.input)
	s.Runs[r.id] = Fields{
		"workflow": r.graph.FullName(), "version": r.graph.Version, "def": r.graph.Digest, "state": string(r.state), "key": r.key,
		"total": number(len(r.steps)), "active": number(r.active), "completed": number(r.completed), "bytes": number(r.bytes),
		"timeout": number(r.timeout), "created_at": number(r.createdAt), "start_at": number(r.startAt), "started_at": number(r.startedAt),
		"finished_at": number(r.finishedAt), "deadline": number(r.deadline), "remaining": number(r.remaining),
		"keep": number(r.keep), "keep_failed": number(r.keepFailed),
		"correlation_id": r.correlationID, "trace_parent": r.traceParent, "ops": strings.Join(r.ops, ","),
	}
	if len(r.labels) > 0 {
		s.Runs[r.id]["labels"] = text(r.labels)
	}
	s.Steps[r.id], s.Outputs[r.id] = map[string]Fields{}, Fields{}
	for name, step := range r.steps {
		s.Steps[r.id][name] = step.dump()
		if step.output != nil {
			s.Outputs[r.id][name] = string(step.output)
		}
	}
	for _, e := range r.log {
		line := []any{e.At.UnixMilli(), e.Event, e.Step, e.Epoch, e.Attempt, e.Worker, e.Code, e.Message, e.Actor}
		for last := len(line) - 1; line[last] == "" || line[last] == 0; last-- {
			line = line[:last]
		}
		s.Logs[r.id] = append(s.Logs[r.id], text(line))
	}
	r.index(s)
}

// index enters the run into the lists that it belongs to.
func (r *run) index(s *State) {
	lists := []string{"all", "state:" + string(r.state), "workflow:" + r.graph.FullName()}
	for name, value := range r.labels {
		lists = append(lists, "label:"+name+"="+value)
	}
	for _, list := range lists {
		if s.Index[list] == nil {
			s.Index[list] = map[string]int64{}
		}
		s.Index[list][r.id] = r.createdAt
	}
}

func (s *step) dump() Fields {
	f := Fields{
		"state": string(s.state), "epoch": number(s.epoch), "claim": s.claim, "lease": number(s.lease), "done": s.done, "dead": strings.Join(s.dead, ","),
		"due": number(s.due), "seen": number(s.seen), "attempts": number(s.attempts), "failures": number(s.failures), "crashes": number(s.crashes), "gen": number(s.gen),
		"worker": s.worker, "queued_at": number(s.queuedAt), "started_at": number(s.startedAt), "finished_at": number(s.finishedAt),
		"ok": number(s.parents.OK), "skip": number(s.parents.Skip), "fail": number(s.parents.Fail),
	}
	if s.state == dag.StepPending {
		delete(f, "state") // the absence of a state
	}
	if s.leaving {
		f["leaving"] = "1"
	}
	if s.err != nil {
		f["error"] = text(s.err)
	}
	return f
}

func number[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

// text writes as JSON what always can be written.
func text(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("write %T as JSON: %v", v, err))
	}
	return string(out)
}
