package httpapi

import (
	"encoding/json"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// The bodies of answers. Absent values are left out; they are never null.
type (
	runBody struct {
		ID            string            `json:"id" example:"run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"`
		Workflow      string            `json:"workflow" doc:"namespace/name" example:"ecommerce/process_order"`
		Version       string            `json:"version" example:"1.0.0"`
		State         string            `json:"state" enum:"scheduled,running,paused,succeeded,failed,compensating,compensated,cancelling,cancelled"`
		Input         json.RawMessage   `json:"input,omitempty" doc:"As it was sent."`
		Labels        map[string]string `json:"labels,omitempty"`
		CorrelationID string            `json:"correlation_id,omitempty"`
		Progress      progressBody      `json:"progress"`
		Steps         []stepBody        `json:"steps" doc:"In topological order."`
		Deadline      string            `json:"deadline,omitempty" format:"date-time" doc:"When a run that is still open fails."`
		CreatedAt     string            `json:"created_at,omitempty" format:"date-time"`
		StartedAt     string            `json:"started_at,omitempty" format:"date-time"`
		FinishedAt    string            `json:"finished_at,omitempty" format:"date-time"`
		Warnings      []string          `json:"warnings,omitempty" doc:"On a start: what may keep the run from going on, for example a queue that no worker serves."`
	}
	progressBody struct {
		Completed  int `json:"completed" doc:"Steps that succeeded or were skipped."`
		Total      int `json:"total"`
		Percentage int `json:"percentage"`
	}
	stepBody struct {
		Name        string          `json:"name"`
		State       string          `json:"state" enum:"pending,queued,running,retrying,waiting,succeeded,failed,skipped,cancelled"`
		Handler     string          `json:"handler"`
		Queue       string          `json:"queue"`
		Attempts    int             `json:"attempts" doc:"Tries that began, never taken back."`
		Failures    int             `json:"failures" doc:"Tries that returned an error or timed out; only these use up max_attempts."`
		Crashes     int             `json:"crashes" doc:"Tries whose process went silent."`
		MaxAttempts int             `json:"max_attempts"`
		Error       *stepErrorBody  `json:"error,omitempty" doc:"Of the latest failure."`
		Output      json.RawMessage `json:"output,omitempty"`
		Worker      string          `json:"worker,omitempty"`
		QueuedAt    string          `json:"queued_at,omitempty" format:"date-time"`
		StartedAt   string          `json:"started_at,omitempty" format:"date-time"`
		FinishedAt  string          `json:"finished_at,omitempty" format:"date-time"`
		NextRetryAt string          `json:"next_retry_at,omitempty" format:"date-time"`
	}
	stepErrorBody struct {
		Message   string `json:"message"`
		Code      string `json:"code"`
		Retryable bool   `json:"retryable"`
	}
	logBody struct {
		At      string `json:"at" format:"date-time"`
		Event   string `json:"event" example:"completed"`
		Step    string `json:"step,omitempty"`
		Epoch   int    `json:"epoch,omitempty" doc:"How often the step was issued to the queue."`
		Attempt int    `json:"attempt,omitempty"`
		Worker  string `json:"worker,omitempty"`
		Code    string `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
		Actor   string `json:"actor,omitempty"`
	}
)

// millis is RFC 3339 with milliseconds, which are what Redis keeps.
const millis = "2006-01-02T15:04:05.000Z"

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(millis)
}

func runOf(v *dag.RunView, warnings []string) runBody {
	return runBody{
		ID: v.ID, Workflow: v.Workflow, Version: v.Version, State: string(v.State), Input: v.Input, Labels: v.Labels, CorrelationID: v.CorrelationID,
		Progress: progressBody(v.Progress), Steps: stepsOf(v.Steps),
		Deadline: instant(v.Deadline), CreatedAt: instant(v.CreatedAt), StartedAt: instant(v.StartedAt), FinishedAt: instant(v.FinishedAt),
		Warnings: warnings,
	}
}

func stepsOf(views []dag.StepView) []stepBody {
	out := make([]stepBody, len(views))
	for i := range views {
		out[i] = stepOf(&views[i])
	}
	return out
}

func stepOf(v *dag.StepView) stepBody {
	return stepBody{
		Name: v.Name, State: string(v.State), Handler: v.Handler, Queue: v.Queue,
		Attempts: v.Attempts, Failures: v.Failures, Crashes: v.Crashes, MaxAttempts: v.MaxAttempts,
		Error: errorOf(v.Error), Output: v.Output, Worker: v.Worker,
		QueuedAt: instant(v.QueuedAt), StartedAt: instant(v.StartedAt), FinishedAt: instant(v.FinishedAt), NextRetryAt: instant(v.NextRetryAt),
	}
}

func errorOf(e *dag.StepError) *stepErrorBody {
	if e == nil {
		return nil
	}
	return &stepErrorBody{Message: e.Message, Code: e.Code, Retryable: e.Retryable}
}

func logOf(entries []dag.LogEntry) []logBody {
	out := make([]logBody, len(entries))
	for i, e := range entries {
		out[i] = logBody{
			At: instant(e.At), Event: e.Event, Step: e.Step, Epoch: e.Epoch, Attempt: e.Attempt,
			Worker: e.Worker, Code: e.Code, Message: e.Message, Actor: e.Actor,
		}
	}
	return out
}

type (
	deadLetterBody struct {
		RunID    string        `json:"run_id"`
		Step     string        `json:"step"`
		Workflow string        `json:"workflow"`
		Error    stepErrorBody `json:"error"`
		Attempts int           `json:"attempts"`
		Crashes  int           `json:"crashes"`
		Worker   string        `json:"worker,omitempty" doc:"Of the last attempt: with run_id, step and attempts it names the lines of the log."`

		CorrelationID string `json:"correlation_id,omitempty" doc:"Of the run."`
		StartedAt     string `json:"started_at,omitempty" format:"date-time" doc:"When the last attempt began."`
		FailedAt      string `json:"failed_at" format:"date-time"`
	}
	deadLettersBody struct {
		DeadLetters []deadLetterBody `json:"dead_letters" doc:"Latest first."`
		NextCursor  string           `json:"next_cursor,omitempty" doc:"Give it as cursor for the next page; absent on the last."`
	}
)

func deadLettersOf(page dag.DeadLetterPage) deadLettersBody {
	out := deadLettersBody{DeadLetters: make([]deadLetterBody, len(page.Letters)), NextCursor: page.Next}
	for i := range page.Letters {
		l := &page.Letters[i]
		out.DeadLetters[i] = deadLetterBody{
			RunID: l.Run, Step: l.Step, Workflow: l.Workflow, Error: *errorOf(&l.Error),
			Attempts: l.Attempts, Crashes: l.Crashes, Worker: l.Worker,
			CorrelationID: l.CorrelationID, StartedAt: instant(l.StartedAt), FailedAt: instant(l.FailedAt),
		}
	}
	return out
}

type (
	statusBody struct {
		Version     string           `json:"version"`
		Redis       redisBody        `json:"redis"`
		Runs        map[string]int64 `json:"runs" doc:"By state."`
		Queues      []queueBody      `json:"queues"`
		Workers     []workerBody     `json:"workers" doc:"Those that are alive."`
		Unserved    []unservedBody   `json:"unserved" doc:"What registered workflows need and no live worker has."`
		AgendaLagMS int64            `json:"agenda_lag_ms" doc:"Age of the oldest entry of the agenda that is due."`
	}
	redisBody struct {
		Version     string `json:"version"`
		Mode        string `json:"mode" enum:"standalone,sentinel,cluster"`
		UsedMemory  int64  `json:"used_memory" doc:"Bytes."`
		MaxMemory   int64  `json:"maxmemory" doc:"Bytes; 0 is without limit."`
		Persistence string `json:"persistence" example:"aof everysec"`
	}
	queueBody struct {
		Name      string `json:"name"`
		Size      int    `json:"size" doc:"Tasks of every state but completed."`
		LatencyMS int64  `json:"latency_ms" doc:"Age of the oldest pending task."`
		Paused    bool   `json:"paused"`
		Workers   int    `json:"workers" doc:"Live workers that serve it."`
	}
	workerBody struct {
		ID       string   `json:"id"`
		Host     string   `json:"host"`
		Queues   []string `json:"queues"`
		Handlers []string `json:"handlers"`
		Running  int      `json:"running" doc:"Handlers that run now."`
		SeenAt   string   `json:"seen_at" format:"date-time"`
	}
	unservedBody struct {
		Queue   string `json:"queue"`
		Handler string `json:"handler,omitempty" doc:"Absent when no worker serves the queue at all."`
		Since   string `json:"since" format:"date-time"`
	}
)

func statusOf(version string, s *engine.Status) statusBody {
	out := statusBody{
		Version: version,
		Redis:   redisBody(s.Redis),
		Runs:    map[string]int64{}, Queues: make([]queueBody, len(s.Queues)), Workers: make([]workerBody, len(s.Workers)),
		Unserved: make([]unservedBody, len(s.Unserved)), AgendaLagMS: s.Stats.Lag.Milliseconds(),
	}
	for _, state := range dag.AllRunStates() {
		out.Runs[string(state)] = s.Stats.Runs[state]
	}
	serving := map[string]int{}
	for i, w := range s.Workers {
		out.Workers[i] = workerBody{
			ID: w.ID, Host: w.Host, Queues: list(w.Queues), Handlers: list(w.Handlers), Running: w.Running, SeenAt: instant(w.SeenAt),
		}
		for _, q := range w.Queues {
			serving[q]++
		}
	}
	for i, q := range s.Queues {
		out.Queues[i] = queueBody{
			Name: q.Name, Size: q.Pending + q.Active + q.Scheduled + q.Retry + q.Archived, LatencyMS: q.Latency.Milliseconds(),
			Paused: q.Paused, Workers: serving[q.Name],
		}
	}
	for i, u := range s.Unserved {
		out.Unserved[i] = unservedBody{Queue: u.Queue, Handler: u.Handler, Since: instant(u.Since)}
	}
	return out
}

// list keeps an empty list from becoming null.
func list(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}
