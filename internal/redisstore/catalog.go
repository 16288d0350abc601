package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// registration is a version of a workflow in the catalogue. put_workflow.lua puts digest and time before the rest, and looks for the digest there.
type registration struct {
	Digest       string        `json:"digest,omitempty"`
	RegisteredAt int64         `json:"registered_at,omitempty"` // ms
	Source       string        `json:"source,omitempty"`
	Workflow     *dag.Workflow `json:"workflow"`
}

// PutWorkflow implements [engine.Catalog]. RegisteredAt is the server's time, whatever reg says.
func (s *Store) PutWorkflow(ctx context.Context, reg dag.Registration, overwrite bool) error {
	name, version := reg.Workflow.FullName(), reg.Workflow.Version
	raw, err := marshal(registration{Source: reg.Source, Workflow: reg.Workflow})
	if err != nil {
		return fmt.Errorf("register workflow %s: %w", name, err)
	}
	r, err := s.run(ctx, s.call("put_workflow", place{workflow: name}, nil, name, version, reg.Digest, string(raw), flag(overwrite)))
	if err != nil {
		return fmt.Errorf("register workflow %s: %w", name, err)
	}
	if word(r, dag.ReplyOK, dag.ReplyAlready, dag.ReplyConflict) == dag.ReplyConflict {
		return fmt.Errorf("%w: workflow %s version %s is registered with another definition; raise the version", engine.ErrConflict, name, version)
	}
	return r.err
}

// Versions implements [engine.Catalog].
func (s *Store) Versions(ctx context.Context, name string) ([]dag.Registration, error) {
	key := s.keys.key("workflow", place{workflow: name})
	values, err := s.client.HVals(ctx, key).Result()
	if err != nil {
		return nil, fmt.Errorf("versions of workflow %s: %w", name, s.explain(ctx, err, []string{key}))
	}
	return readVersions(name, values)
}

// Workflows implements [engine.Catalog], in two round trips.
func (s *Store) Workflows(ctx context.Context) ([]dag.Registration, error) {
	key := s.keys.key("workflows", place{})
	names, err := s.client.SMembers(ctx, key).Result()
	if err != nil {
		return nil, fmt.Errorf("list workflows: %w", s.explain(ctx, err, []string{key}))
	}
	if len(names) == 0 {
		return nil, nil
	}
	slices.Sort(names)
	cmds := make([]*redis.StringSliceCmd, len(names))
	if _, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			cmds[i] = p.HVals(ctx, s.keys.key("workflow", place{workflow: name}))
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list workflows: %w", s.explain(ctx, err, []string{key}))
	}
	var all []dag.Registration
	for i, name := range names {
		versions, err := readVersions(name, cmds[i].Val())
		if err != nil {
			return nil, err
		}
		all = append(all, versions...)
	}
	return all, nil
}

func readVersions(name string, values []string) ([]dag.Registration, error) {
	var versions []dag.Registration
	for _, v := range values {
		var reg registration
		if err := json.Unmarshal([]byte(v), &reg); err != nil {
			return nil, fmt.Errorf("registration of workflow %s: %w", name, err)
		}
		if reg.Workflow == nil {
			return nil, fmt.Errorf("%w: registration of workflow %s has no workflow", errScript, name)
		}
		versions = append(versions, dag.Registration{
			Workflow: reg.Workflow, Digest: reg.Digest, Source: reg.Source, RegisteredAt: instant(reg.RegisteredAt),
		})
	}
	return versions, nil
}

// worker is a worker's heartbeat. put_worker.lua puts the times before the rest, and looks for seen_at there.
type worker struct {
	SeenAt   int64    `json:"seen_at,omitempty"` // ms
	LeftAt   int64    `json:"left_at,omitempty"` // ms
	ID       string   `json:"id"`
	Host     string   `json:"host,omitempty"`
	PID      int      `json:"pid,omitempty"`
	Queues   []string `json:"queues,omitempty"`
	Handlers []string `json:"handlers,omitempty"`
	Running  int      `json:"running,omitempty"`
	TTL      int64    `json:"ttl,omitempty"` // ms
}

// PutWorker implements [engine.Catalog]. SeenAt and LeftAt are the server's time, whatever w says.
func (s *Store) PutWorker(ctx context.Context, w dag.WorkerInfo, left bool) error {
	raw, err := marshal(worker{
		ID: w.ID, Host: w.Host, PID: w.PID, Queues: w.Queues, Handlers: w.Handlers, Running: w.Running, TTL: w.TTL.Milliseconds(),
	})
	if err == nil {
		_, err = s.run(ctx, s.call("put_worker", place{}, nil, w.ID, string(raw), flag(left)))
	}
	if err != nil {
		return fmt.Errorf("announce worker %s: %w", w.ID, err)
	}
	return nil
}

// workerMemory is for how long a worker is listed after its last heartbeat.
const workerMemory = time.Hour

// Workers implements [engine.Catalog].
func (s *Store) Workers(ctx context.Context) ([]dag.WorkerInfo, time.Time, error) {
	r, err := s.run(ctx, s.call("workers", place{}, nil))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("list workers: %w", err)
	}
	word(r, dag.ReplyOK)
	now, list := r.time(), r.list()
	var workers []dag.WorkerInfo
	for len(list.values) > 0 && list.err == nil {
		var w worker
		if err := json.Unmarshal([]byte(list.text()), &w); err != nil {
			return nil, time.Time{}, fmt.Errorf("list workers: heartbeat: %w", err)
		}
		info := dag.WorkerInfo{
			ID: w.ID, Host: w.Host, PID: w.PID, Queues: w.Queues, Handlers: w.Handlers, Running: w.Running,
			TTL: time.Duration(w.TTL) * time.Millisecond, SeenAt: instant(w.SeenAt), LeftAt: instant(w.LeftAt),
		}
		if now.Sub(info.SeenAt) <= workerMemory {
			workers = append(workers, info)
		}
	}
	return workers, now, list.err
}
