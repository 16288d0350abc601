package enginetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// rememberWorkers is how long a silent worker stays listed.
const rememberWorkers = time.Hour

// PutWorkflow registers a version. A version means one definition for ever, unless overwrite is set.
func (m *Memory) PutWorkflow(_ context.Context, reg dag.Registration, overwrite bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name, version := reg.Workflow.FullName(), reg.Workflow.Version
	switch present, ok := m.workflows[name][version]; {
	case ok && present.Digest == reg.Digest:
		return nil
	case ok && !overwrite:
		return fmt.Errorf("%w: %s@%s is registered with another definition; raise the version", engine.ErrConflict, name, version)
	}
	if m.workflows[name] == nil {
		m.workflows[name] = map[string]dag.Registration{}
	}
	reg.RegisteredAt = instant(m.clock())
	m.workflows[name][version] = reg
	return nil
}

// Versions returns the versions of one workflow.
func (m *Memory) Versions(_ context.Context, name string) ([]dag.Registration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.workflows[name])), nil
}

// Workflows returns all versions of all workflows.
func (m *Memory) Workflows(context.Context) ([]dag.Registration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []dag.Registration
	for _, versions := range m.workflows {
		all = slices.AppendSeq(all, maps.Values(versions))
	}
	return all, nil
}

// PutWorker announces a worker; the store's clock says when.
func (m *Memory) PutWorker(_ context.Context, w dag.WorkerInfo, left bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.SeenAt, w.LeftAt = instant(m.clock()), time.Time{}
	if left {
		w.LeftAt = w.SeenAt
	}
	m.workers[w.ID] = w
	return nil
}

// Workers returns the workers of the last hour and the time now.
func (m *Memory) Workers(context.Context) ([]dag.WorkerInfo, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := instant(m.clock())
	var recent []dag.WorkerInfo
	for _, w := range m.workers {
		if now.Sub(w.SeenAt) <= rememberWorkers {
			recent = append(recent, w)
		}
	}
	return recent, now, nil
}

// MemoryUse is that of a server without a limit, unless SetMemoryUse has set another.
func (m *Memory) MemoryUse(context.Context) (dag.Memory, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.memory, nil
}

// SetMemoryUse sets what MemoryUse tells. At the limit no run is created, nor a request for one looked at, as by Redis.
func (m *Memory) SetMemoryUse(memory dag.Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.memory = memory
}

// Info describes a server that does not exist.
func (m *Memory) Info(context.Context) (dag.StoreInfo, error) {
	return dag.StoreInfo{Version: "memory", Mode: "standalone", Persistence: "none"}, nil
}
