package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/httpapi"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// mount is an API with asynqmon's buttons on a real Redis and a real worker.
type mount struct {
	*rig
	prefix  string
	client  redis.UniversalClient
	inspect *asynq.Inspector
	failing bool // handlers of steps; changed only while no worker runs
}

func newMount(t *testing.T) *mount {
	t.Helper()
	return newMountOn(t, redistest.URL(t), redisstore.Patient)
}

func newMountOn(t *testing.T, url string, profile redisstore.Profile) *mount {
	t.Helper()
	m := &mount{rig: &rig{t: t, log: &logBuffer{}}, prefix: redistest.Prefix(t), failing: true}
	var err error
	if m.client, err = redisstore.Connect(redisstore.Options{URL: url, Profile: profile}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.client.Close() })
	store, err := redisstore.Open(t.Context(), m.client, redisstore.Config{Prefix: m.prefix})
	if err != nil {
		t.Fatal(err)
	}
	queue, err := asynqueue.NewQueue(m.client, asynqueue.Options{Prefix: m.prefix})
	if err != nil {
		t.Fatal(err)
	}
	if m.engine, err = engine.New(store, queue, definition.NewSchemas(), engine.Config{}); err != nil {
		t.Fatal(err)
	}
	m.inspect = asynq.NewInspectorFromRedisClient(m.client)
	m.server, err = httpapi.New(httpapi.Deps{
		Engine: m.engine, Log: slog.New(slog.NewTextHandler(m.log, nil)), Asynqmon: httpapi.NewAsynqmon(m.client, m.engine),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"refused", "later"} {
		w := &dag.Workflow{Namespace: "shop", Name: name, Version: "1.0.0", Steps: []dag.Step{
			{Name: "pay", Handler: "shop." + name, Retry: dag.RetryPolicy{BaseDelay: time.Hour, MaxDelay: 2 * time.Hour}},
		}}
		if err := m.engine.Register(t.Context(), w, ""); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *mount) name() string { return asynqueue.QueueName(m.prefix, "shop") }

func (m *mount) button(path string) string {
	return "/asynqmon/api/queues/" + m.name() + "/" + path
}

func (m *mount) startRun(workflow string) string {
	m.t.Helper()
	started, err := m.engine.Start(m.t.Context(), engine.StartRequest{Workflow: "shop/" + workflow})
	if err != nil {
		m.t.Fatal(err)
	}
	return started.Run.ID
}

// work runs a worker until ready says so.
func (m *mount) work(ready func() bool) {
	m.t.Helper()
	reg := tasks.NewRegistry()
	handle := func(name string, err error) {
		tasks.Handle(reg, name, func(context.Context, *tasks.Step) (int, error) {
			if m.failing {
				return 0, err
			}
			return 1, nil
		})
	}
	handle("shop.refused", tasks.Permanent("DECLINED", errors.New("no money")))
	handle("shop.later", errors.New("away"))
	w, err := asynqueue.NewWorker(m.engine, reg, asynqueue.WorkerOptions{Client: m.client, Prefix: m.prefix, Queues: map[string]int{"shop": 1}, Concurrency: 4})
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(m.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	redistest.Await(m.t, 30*time.Second, "the worker's end of its work", func(context.Context) (bool, string) {
		return ready(), m.log.String()
	})
	stop()
	if err := <-ended; err != nil {
		m.t.Error(err)
	}
}

func (m *mount) count(count func(*asynq.QueueInfo) int) int {
	info, err := m.inspect.GetQueueInfo(m.name())
	if err != nil {
		return -1
	}
	return count(info)
}

func archived(i *asynq.QueueInfo) int { return i.Archived }
func retrying(i *asynq.QueueInfo) int { return i.Retry }
func pending(i *asynq.QueueInfo) int  { return i.Pending }

func (m *mount) is(run string, want dag.RunState) bool {
	v, err := m.engine.Store().Run(m.t.Context(), run)
	return err == nil && v.State == want
}

func TestRunInAsynqmonIsARetry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ workflow, tasks string }{{"refused", "archived_tasks"}, {"later", "retry_tasks"}} {
		t.Run(c.tasks, func(t *testing.T) {
			t.Parallel()
			m := newMount(t)
			var runs []string
			for range 6 {
				runs = append(runs, m.startRun(c.workflow))
			}
			m.work(func() bool { return m.count(archived)+m.count(retrying) == len(runs) })
			id := func(i int) string { return runs[i] + ":pay:e1" }
			if a := m.post(m.button(c.tasks+"/"+id(0)+":run"), "", "X-Actor", "ada"); a.Code != http.StatusNoContent {
				t.Fatalf("one: %d %s", a.Code, a.Body)
			}
			a := m.post(m.button(c.tasks+":batch_run"), `{"task_ids":["`+id(1)+`","`+id(2)+`","nope"]}`)
			batch := a.object(http.StatusOK)
			if len(list(batch["pending_ids"])) != 2 || !slices.Equal(list(batch["error_ids"]), []string{"nope"}) {
				t.Errorf("chosen: %v", batch)
			}
			if all := m.post(m.button(c.tasks+":run_all"), "").object(http.StatusOK); all["scheduled"] != 3.0 {
				t.Errorf("all: %v", all)
			}
			if left := m.count(archived) + m.count(retrying); left != 0 || m.count(pending) != len(runs) {
				t.Errorf("%d old tasks are left, %d wait; want none and %d", left, m.count(pending), len(runs))
			}
			m.failing = false
			m.work(func() bool {
				return !slices.ContainsFunc(runs, func(run string) bool { return !m.is(run, dag.RunSucceeded) })
			})
			log, err := m.engine.Store().Log(t.Context(), runs[0])
			if err != nil || !slices.ContainsFunc(log, func(e dag.LogEntry) bool {
				return e.Event == "retried" && e.Actor == "ada" && e.Message == "Run in asynqmon"
			}) {
				t.Errorf("the run's log does not tell who pressed: %+v, %v", log, err)
			}
			if got := strings.Count(m.log.String(), `msg="asynqmon button pressed"`); got != 3 || !strings.Contains(m.log.String(), "actor=ada status=204") {
				t.Errorf("%d lines for 3 presses:\n%s", got, m.log)
			}
		})
	}
}

func list(v any) []string {
	all, _ := v.([]any)
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = fmt.Sprint(x)
	}
	return out
}

func TestRunInAsynqmonOfWhatIsNoFailedStep(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.failing = false
	run := m.startRun("refused")
	// A task of a queued step that a person archived: Run takes that back.
	if err := m.inspect.ArchiveTask(m.name(), run+":pay:e1"); err != nil {
		t.Fatal(err)
	}
	if a := m.post(m.button("archived_tasks/"+run+":pay:e1:run"), ""); a.Code != http.StatusNoContent || m.count(pending) != 1 {
		t.Errorf("%d %s; %d tasks wait", a.Code, a.Body, m.count(pending))
	}
	// A task of another program goes to asynq.
	foreign := asynq.NewClientFromRedisClient(m.client)
	if _, err := foreign.EnqueueContext(t.Context(), asynq.NewTask("email:send", nil), asynq.Queue(m.name()), asynq.TaskID("mail-1")); err != nil {
		t.Fatal(err)
	}
	if a := m.post(m.button("pending_tasks/mail-1:archive"), ""); a.Code != http.StatusNoContent || m.count(archived) != 1 {
		t.Errorf("archive: %d %s", a.Code, a.Body)
	}
	if a := m.post(m.button("archived_tasks:run_all"), "").object(http.StatusOK); a["scheduled"] != 1.0 || m.count(pending) != 2 {
		t.Errorf("run all: %v, %d tasks wait", a, m.count(pending))
	}
	if err := m.inspect.DeleteTask(m.name(), "mail-1"); err != nil {
		t.Fatal(err)
	}
	m.post(m.button("archived_tasks/nope:run"), "").problem(http.StatusNotFound, "not_found")
	m.post("/asynqmon/api/queues/"+m.prefix+"-nowhere/retry_tasks:run_all", "").problem(http.StatusNotFound, "not_found")
	m.post(m.button("retry_tasks:batch_run"), "[").problem(http.StatusBadRequest, "malformed_json")
	m.work(func() bool { return m.is(run, dag.RunSucceeded) })
	// A task that somebody put into the archive although its step has succeeded is refused with the reason.
	p, err := tasks.Payload{Run: run, Step: "pay", Epoch: 1, Def: strings.Repeat("0", 32)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := foreign.EnqueueContext(t.Context(), asynq.NewTask("step:shop.refused", p), asynq.Queue(m.name()), asynq.TaskID(run+":pay:e1")); err != nil {
		t.Fatal(err)
	}
	if err := m.inspect.ArchiveTask(m.name(), run+":pay:e1"); err != nil {
		t.Fatal(err)
	}
	problem := m.post(m.button("archived_tasks/"+run+":pay:e1:run"), "").problem(http.StatusConflict, "conflict")
	if !strings.Contains(problem.Detail, "is succeeded") {
		t.Errorf("detail %q", problem.Detail)
	}
}

func TestAsynqmonButtonsAreBehindTheOriginCheck(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.startRun("refused")
	m.post("/asynqmon/api/queues/"+m.name()+":pause", "", "Origin", "https://evil.example").problem(http.StatusForbidden, "cross_origin")
	m.post(m.button("archived_tasks:run_all"), "", "Sec-Fetch-Site", "cross-site").problem(http.StatusForbidden, "cross_origin")
	if a := m.post("/asynqmon/api/queues/"+m.name()+":pause", "", "X-Actor", "tab\there"); a.Code != http.StatusNoContent {
		t.Errorf("pause: %d %s", a.Code, a.Body)
	}
	info, err := m.inspect.GetQueueInfo(m.name())
	if err != nil || !info.Paused {
		t.Errorf("the queue is not paused: %v", err)
	}
	if !strings.Contains(m.log.String(), ":pause actor=\"asynqmon 192.0.2.1:1234\" status=204") {
		t.Errorf("log %s", m.log)
	}
}

func TestVerbsAnswerSoonWhileRedisHangs(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t, localredis.Options{})
	m := newMountOn(t, server.URL, redisstore.Quick)
	run := m.startRun("refused")
	if err := server.Pause(); err != nil {
		t.Skipf("pause Redis: %v", err) // not on this system, or an embedded one
	}
	defer func() { _ = server.Resume() }()
	var wg sync.WaitGroup
	for path, body := range map[string]string{
		"/cancel": "", "/pause": "", "/resume": "", "/retry": "", "/steps/pay/retry": "", "/steps/pay/skip": "", "/steps/pay/resolve": `{"output":1}`,
		"redrive all": `{"all":true}`, "redrive one": `{"items":[{"run_id":"` + run + `","step":"pay"}]}`,
		m.button("archived_tasks:run_all"): "", m.button("retry_tasks:run_all"): "", m.button("archived_tasks/" + run + ":pay:e1:run"): "",
	} {
		wg.Go(func() {
			switch {
			case strings.Contains(path, "redrive"):
				path = "/v1/dead-letters/redrive"
			case !strings.Contains(path, "asynqmon"):
				path = "/v1/runs/" + run + path
			}
			began := time.Now()
			a := m.post(path, body)
			if took := time.Since(began); took > 10*time.Second { // 2 s, and what a busy machine adds
				t.Errorf("%s: an answer after %s", path, took)
			}
			if strings.Contains(body, "items") { // each has its own result
				if !strings.Contains(a.Body.String(), `"code":"unavailable"`) {
					t.Errorf("%s: %s", path, a.Body)
				}
				return
			}
			if a.problem(http.StatusServiceUnavailable, "unavailable"); a.Header().Get("Retry-After") != "2" {
				t.Errorf("%s: Retry-After %q", path, a.Header().Get("Retry-After"))
			}
		})
	}
	wg.Wait()
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	if a := m.post("/v1/runs/"+run+"/pause", ""); a.Code != http.StatusAccepted && a.Code != http.StatusConflict { // one of them may have been carried out
		t.Errorf("afterwards: %d %s", a.Code, a.Body)
	}
}
