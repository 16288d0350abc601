package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// StartRequest asks for a run. REST, the Go client and start tasks all end here.
type StartRequest struct {
	// Workflow is namespace/name, or namespace/name@version; without a version the highest that is no pre-release.
	Workflow string
	Input    json.RawMessage // nil and null mean {}
	// Key makes the request idempotent: the same key with the same request names the same run. "" starts a run each time.
	Key      string
	Profiles []string // applied in order
	Labels   map[string]string

	CorrelationID string
	// TraceParent is a W3C trace context, handed on to the steps. One that does not parse is as good as none, as W3C has it.
	TraceParent string

	// StartAt or Delay postpone the start; at most one of them.
	StartAt time.Time
	Delay   time.Duration
	Timeout time.Duration // 0 means the workflow's
}

var traceParentPattern = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// Started is the answer to [StartRequest].
type Started struct {
	Run      dag.RunView // as it is now
	Replayed bool        // the run was started earlier under the same key
	Warnings []string    // for example a queue that no worker serves
}

// Start creates a run, or finds the one that its key names, and hands its root steps over. Once the run is created nothing makes Start
// fail: what the queue refuses now, the sweeper hands over later.
//
// Errors: [dag.ErrInvalid] (also [*dag.InputError]), [ErrNotFound] (no such workflow or version), [ErrMismatch], [ErrMemory], [ErrUnavailable].
func (e *Engine) Start(ctx context.Context, req StartRequest) (Started, error) {
	if input := string(bytes.TrimSpace(req.Input)); input == "" || input == "null" {
		req.Input = json.RawMessage("{}")
	}
	if !traceParentPattern.MatchString(req.TraceParent) {
		req.TraceParent = ""
	}
	if err := checkStart(&req); err != nil {
		return Started{}, err
	}
	run, err := e.prepare(ctx, &req)
	if errors.Is(err, dag.ErrInvalid) && req.Key != "" {
		return e.replay(ctx, &req, err)
	}
	if err != nil {
		return Started{}, err
	}
	created, err := e.admit(ctx, run)
	if err != nil {
		err = fmt.Errorf("start %s: %w", req.Workflow, err)
		if errors.Is(err, ErrMemory) && req.Key != "" { // it may be a repetition, which needs no room
			return e.replay(ctx, &req, err)
		}
		return Started{}, err
	}
	e.handOver(ctx, created.Sends)
	if !created.Replayed {
		e.cfg.Log.InfoContext(ctx, "run created", "run", created.ID, "workflow", run.Graph.FullName(), "version", run.Graph.Version)
		if h := e.cfg.Hooks.RunStarted; h != nil {
			h(run.Graph.FullName())
		}
	}
	view, err := e.viewOf(ctx, created, &run)
	if err != nil {
		return Started{}, fmt.Errorf("start %s: %w", req.Workflow, err)
	}
	return Started{Run: view, Replayed: created.Replayed, Warnings: e.unservedQueues(ctx, run.Graph)}, nil
}

// prepare finds the definition and checks the request against it.
func (e *Engine) prepare(ctx context.Context, req *StartRequest) (dag.NewRun, error) {
	reg, err := e.resolve(ctx, req.Workflow)
	if err != nil {
		return dag.NewRun{}, err
	}
	if err := e.schemas.Check(reg.Workflow.InputSchema, req.Input); err != nil {
		return dag.NewRun{}, fmt.Errorf("start %s: %w", req.Workflow, err)
	}
	return e.newRun(reg, req)
}

// replay answers a request that the present definition refuses, or for which there is no room. It may have started a run all the same, when it came
// for the first time and all was well; then that run is the answer, and the refusal otherwise.
func (e *Engine) replay(ctx context.Context, req *StartRequest, refusal error) (Started, error) {
	workflow, _, _ := strings.Cut(req.Workflow, "@")
	namespace, name, _ := strings.Cut(workflow, "/")
	asked, err := fingerprint(req)
	if err != nil {
		return Started{}, refusal
	}
	id, as, err := e.store.RunOfKey(ctx, dag.PartitionOf(namespace, name, req.Key), workflow, req.Key)
	if errors.Is(err, ErrNotFound) || (err == nil && as != asked) {
		return Started{}, refusal
	}
	if err != nil {
		return Started{}, fmt.Errorf("start %s: %w", req.Workflow, err)
	}
	view, err := e.store.Run(ctx, id)
	if err != nil {
		return Started{}, fmt.Errorf("start %s: %w", req.Workflow, err)
	}
	return Started{Run: view, Replayed: true}, nil
}

func (e *Engine) newRun(reg dag.Registration, req *StartRequest) (dag.NewRun, error) {
	graph, err := e.graphs.compile(reg, req.Profiles)
	if err != nil {
		return dag.NewRun{}, fmt.Errorf("start %s: %w", req.Workflow, err)
	}
	asked, err := fingerprint(req)
	if err != nil {
		return dag.NewRun{}, fmt.Errorf("start %s: %w", req.Workflow, err)
	}
	partition := int(e.cfg.Random() * dag.Partitions)
	if req.Key != "" {
		partition = dag.PartitionOf(graph.Namespace, graph.Name, req.Key)
	}
	run := dag.NewRun{
		ID: dag.NewRunID(partition, e.cfg.NewULID()), Graph: graph, Input: req.Input, Key: req.Key, Fingerprint: asked,
		Labels: req.Labels, CorrelationID: req.CorrelationID, TraceParent: req.TraceParent,
		StartAt: req.StartAt, Timeout: req.Timeout,
		Keep: retention(reg.Workflow.Keep, e.cfg.Keep), KeepFailed: retention(reg.Workflow.KeepFailed, e.cfg.KeepFailed),
	}
	if run.Timeout == 0 {
		run.Timeout = graph.Timeout
	}
	if req.Delay > 0 {
		run.StartAt = e.cfg.Now().Add(req.Delay)
	}
	return run, nil
}

// retention is the workflow's or else the installation's; a store knows for ever as 0.
func retention(workflow, installation time.Duration) time.Duration {
	if keep := cmp.Or(workflow, installation); keep != dag.Forever {
		return keep
	}
	return 0
}

// viewOf is the run as it is now. One that this call created needs no look at Redis, and one whose creation was answered late, and that cannot be
// read now, was created a moment ago by our own clock. Nothing is certain about a run that was there before.
func (e *Engine) viewOf(ctx context.Context, created dag.Created, run *dag.NewRun) (dag.RunView, error) {
	if created.At.IsZero() {
		view, err := e.store.Run(ctx, created.ID)
		if err == nil || created.Replayed {
			return view, err
		}
		created.At = e.cfg.Now()
	}
	return freshView(created, run), nil
}

// freshView is a run at the moment of its creation.
func freshView(created dag.Created, run *dag.NewRun) dag.RunView {
	g := run.Graph
	view := dag.RunView{
		ID: created.ID, Workflow: g.FullName(), Version: g.Version, Def: g.Digest, State: dag.RunRunning, Input: run.Input,
		Key: run.Key, Labels: run.Labels, CorrelationID: run.CorrelationID, TraceParent: run.TraceParent,
		Progress: dag.ProgressOf(0, len(g.Nodes)), CreatedAt: created.At, Deadline: created.At.Add(run.Timeout),
	}
	if start := run.StartAt.Truncate(time.Millisecond); start.After(created.At) {
		view.State, view.StartAt, view.Deadline = dag.RunScheduled, start.UTC(), start.UTC().Add(run.Timeout)
	}
	view.Steps = make([]dag.StepView, len(g.Nodes))
	for i := range g.Nodes {
		n := &g.Nodes[i]
		view.Steps[i] = dag.StepView{Name: n.Name, Handler: n.Handler, Queue: n.Queue, State: dag.StepPending, MaxAttempts: n.Retry.MaxAttempts}
		if len(n.Parents) == 0 {
			view.Steps[i].State, view.Steps[i].Epoch = dag.StepQueued, 1
			view.Steps[i].QueuedAt, view.Steps[i].NextRetryAt = created.At, view.StartAt
		}
	}
	return view
}

func checkStart(req *StartRequest) error {
	problems := []error{
		dag.CheckJSON(req.Input, dag.MaxInputBytes),
		dag.CheckLabels(req.Labels),
	}
	if req.Key != "" {
		problems = append(problems, dag.CheckKey(req.Key))
	}
	if !req.StartAt.IsZero() && req.Delay != 0 {
		problems = append(problems, fmt.Errorf("%w: start_at and delay exclude each other; give one of them", dag.ErrInvalid))
	}
	if req.Delay < 0 || req.Delay > dag.MaxRunTimeout {
		problems = append(problems, fmt.Errorf("%w: delay %s must be from 0s to %s", dag.ErrInvalid, req.Delay, dag.MaxRunTimeout))
	}
	if req.Timeout != 0 && (req.Timeout < dag.MinRunTimeout || req.Timeout > dag.MaxRunTimeout) {
		problems = append(problems, fmt.Errorf("%w: timeout %s must be from %s to %s", dag.ErrInvalid, req.Timeout, dag.MinRunTimeout, dag.MaxRunTimeout))
	}
	if len(req.CorrelationID) > dag.MaxLabelBytes {
		problems = append(problems, fmt.Errorf("%w: correlation ID of %d bytes, at most %d are allowed", dag.ErrInvalid, len(req.CorrelationID), dag.MaxLabelBytes))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("start %s: %w", req.Workflow, err)
	}
	return nil
}

// fingerprint is the same for two requests that ask for the same run, whichever way they came in: fields in a fixed order, the input's keys
// sorted and its white space out, the text of its numbers kept.
func fingerprint(req *StartRequest) (string, error) {
	asked := struct {
		Workflow string            `json:"workflow"`
		Input    json.RawMessage   `json:"input"`
		Profiles []string          `json:"profiles,omitempty"`
		Labels   map[string]string `json:"labels,omitempty"`
		StartAt  string            `json:"start_at,omitempty"`
		Delay    time.Duration     `json:"delay,omitempty"`
		Timeout  time.Duration     `json:"timeout,omitempty"`
	}{Workflow: req.Workflow, Input: req.Input, Profiles: slices.Clone(req.Profiles), Labels: req.Labels, Delay: req.Delay, Timeout: req.Timeout}
	if !req.StartAt.IsZero() {
		asked.StartAt = req.StartAt.UTC().Format(time.RFC3339Nano)
	}
	raw, err := json.Marshal(asked)
	if err != nil {
		return "", fmt.Errorf("%w: input: %w", dag.ErrInvalid, err)
	}
	return dag.Fingerprint(raw)
}
