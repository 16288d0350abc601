package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// asynqmonPath is where asynqmon lives.
const asynqmonPath = "/asynqmon"

const (
	runTime  = 25 * time.Second // for one press of a button that runs many tasks; below writeTimeout
	runWidth = 8                // tasks that are run at once
	listPage = 100              // tasks read at once
	maxRun   = 10_000           // tasks a press, as many as an archive holds
)

// runPattern is the path of each button that runs archived or retrying tasks: one, all, or the chosen ones.
var runPattern = regexp.MustCompile(`^` + asynqmonPath + `/api/queues/([^/]+)/(archived|retry)_tasks(?:/([^/]+):run|:(run_all|batch_run))$`)

// Asynqmon is asynq's own dashboard, for [Deps].Asynqmon.
//
// With buttons, running an archived or a retrying task of a step becomes the engine's retry of the step: asynq by itself would deliver a task that the
// engine answers with FAILED or BUSY. All other buttons do what they do in any asynqmon, and the sweeper repairs what they leave. Each press is a line
// of the log.
type Asynqmon struct {
	mon       *asynqmon.HTTPHandler
	inspector *asynq.Inspector
	engine    *engine.Engine // nil: read-only
}

// NewAsynqmon returns the dashboard on a Redis client, which stays its caller's; without an engine it has no buttons.
func NewAsynqmon(client redis.UniversalClient, e *engine.Engine) *Asynqmon {
	return &Asynqmon{
		mon:       asynqmon.New(asynqmon.Options{RootPath: asynqmonPath, RedisConnOpt: lentClient{client}, ReadOnly: e == nil}),
		inspector: asynq.NewInspectorFromRedisClient(client),
		engine:    e,
	}
}

// lentClient gives asynqmon a client that was built as all others are.
type lentClient struct{ client redis.UniversalClient }

func (l lentClient) MakeRedisClient() any { return l.client }

// ServeHTTP implements [http.Handler].
func (m *Asynqmon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || m.engine == nil {
		m.mon.ServeHTTP(w, r)
		return
	}
	who := actorOf(r)
	ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
	button := runPattern.FindStringSubmatch(r.URL.Path)
	switch {
	case button == nil || r.Method != http.MethodPost:
		m.mon.ServeHTTP(ww, r)
	case button[4] == "run_all":
		m.runAll(ww, r, who, button[1], button[2])
	case button[4] == "batch_run":
		m.runBatch(ww, r, who, button[1])
	default:
		m.runOne(ww, r, who, button[1], button[3])
	}
	requestOf(r.Context()).log.InfoContext(r.Context(), "asynqmon button pressed", "actor", who, "status", ww.Status())
}

// actorOf is who pressed a button: the header, or where the request came from.
func actorOf(r *http.Request) string {
	actor := r.Header.Get(headerActor)
	if len(actor) > dag.MaxLabelBytes || strings.ContainsFunc(actor, func(c rune) bool { return c < ' ' || c > '~' }) {
		actor = ""
	}
	return cmp.Or(actor, "asynqmon "+r.RemoteAddr)
}

// run retries the step of a task. What is no task of a step is run by asynq, and so is one whose step is queued: it waits only for its task.
func (m *Asynqmon) run(ctx context.Context, who, queue, id string) error {
	info, err := m.inspector.GetTaskInfo(queue, id)
	if errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound) {
		return fmt.Errorf("task %s of queue %s: %w", id, queue, engine.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("look at task %s of queue %s: %w: %w", id, queue, engine.ErrUnavailable, err)
	}
	if d, is := tasks.DeliveryOf(info.ID, info.Type, info.Payload); is {
		_, err := m.engine.Retry(ctx, engine.OperatorRequest{Run: d.Run, Step: d.Step, Actor: who, Reason: "Run in asynqmon"})
		if state, refused := errors.AsType[*engine.StateError](err); !refused || state.StepIs != dag.StepQueued {
			return err
		}
	}
	if err := m.inspector.RunTask(queue, id); err != nil {
		return fmt.Errorf("run task %s of queue %s: %w", id, queue, err)
	}
	return nil
}

func (m *Asynqmon) runOne(w http.ResponseWriter, r *http.Request, who, queue, id string) {
	if err := m.run(r.Context(), who, queue, id); err != nil {
		refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// runBatch answers as asynqmon does.
func (m *Asynqmon) runBatch(w http.ResponseWriter, r *http.Request, who, queue string) {
	var chosen struct {
		IDs []string `json:"task_ids"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBodyBytes)).Decode(&chosen); err != nil {
		newProblem(http.StatusBadRequest, "malformed_json", `the body must be {"task_ids":[…]}`).write(w, r)
		return
	}
	done, failed := m.runEach(r, who, queue, chosen.IDs)
	answerJSON(w, r, struct {
		Pending []string `json:"pending_ids"`
		Errors  []string `json:"error_ids"`
	}{list(done), list(failed)})
}

// runAll runs what is there now. What is left when its time is over is run by pressing again.
func (m *Asynqmon) runAll(w http.ResponseWriter, r *http.Request, who, queue, state string) {
	read := m.inspector.ListArchivedTasks
	if state == "retry" {
		read = m.inspector.ListRetryTasks
	}
	var ids []string
	for page := 1; len(ids) < maxRun; page++ { // all of them before the first is run: what is run moves the pages
		infos, err := read(queue, asynq.Page(page), asynq.PageSize(listPage))
		switch {
		case errors.Is(err, asynq.ErrQueueNotFound):
			refuse(w, r, fmt.Errorf("queue %s: %w", queue, engine.ErrNotFound))
			return
		case err != nil:
			refuse(w, r, fmt.Errorf("list the %s tasks of queue %s: %w: %w", state, queue, engine.ErrUnavailable, err))
			return
		}
		if len(infos) == 0 {
			break
		}
		for _, t := range infos {
			ids = append(ids, t.ID)
		}
	}
	done, _ := m.runEach(r, who, queue, ids)
	answerJSON(w, r, struct {
		Scheduled int `json:"scheduled"`
	}{len(done)})
}

// runEach runs tasks side by side until its time is over, and logs why some were not run.
func (m *Asynqmon) runEach(r *http.Request, who, queue string, ids []string) (done, failed []string) {
	ctx, cancel := context.WithTimeout(r.Context(), runTime)
	defer cancel()
	var (
		g  errgroup.Group
		mu sync.Mutex
	)
	g.SetLimit(runWidth)
	for _, id := range ids {
		g.Go(func() error {
			err := ctx.Err()
			if err == nil {
				err = m.run(ctx, who, queue, id)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done = append(done, id)
				return nil
			}
			failed = append(failed, id)
			if len(failed) == 1 { // the first tells what it is about, without one line for each of thousands
				requestOf(ctx).log.WarnContext(ctx, "task not run", "task", id, "err", err)
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	return done, failed
}

// refuse answers with what an error means over HTTP.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	p, after := problemOf(err)
	if after != "" {
		w.Header().Set("Retry-After", after)
	}
	requestOf(r.Context()).report(r.Context(), p, err)
	p.write(w, r)
}

func answerJSON(w http.ResponseWriter, r *http.Request, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil { // nobody is left to tell
		requestOf(r.Context()).log.DebugContext(r.Context(), "answer not written", "err", err)
	}
}
