package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

func readScenarios() []scenario {
	return []scenario{
		{"run/as it stands", readRun},
		{"run/not found", readNothing},
		{"log/what it says", readLog},
		{"log/the last thousand", readLongLog},
		{"graph/as it was started", readGraph},
		{"dead letters/latest first, page by page", readDeadLetters},
		{"dead letters/some", readSomeDeadLetters},
		{"stats/counts", readStats},
		{"catalogue/workflows", catalogWorkflows},
		{"catalogue/workers", catalogWorkers},
		{"catalogue/info", catalogInfo},
	}
}

func (s *script) view() dag.RunView {
	s.t.Helper()
	view, err := read(s.rig, "run", func(ctx context.Context, store Subject) (dag.RunView, error) { return store.Run(ctx, s.run) })
	s.want("error", err, nil)
	return view
}

func readRun(s *script) {
	g := compile(s.t, "view", "a", "b<a", "c<a", "d<b,c")
	t0 := s.now
	s.start(g, func(r *dag.NewRun) {
		r.Key, r.Fingerprint, r.Labels, r.CorrelationID = "k", "f", map[string]string{"x": "y"}, "corr"
		r.StartAt = t0.Add(time.Minute)
	})
	t1 := t0.Add(time.Minute)
	s.advance(time.Minute)
	s.finish("a")
	s.stumbles("b", 5*time.Second)
	s.breaks("c", true)
	step := func(name string, state dag.StepState, attempts int, change func(*dag.StepView)) dag.StepView {
		v := dag.StepView{Name: name, Handler: "test." + name, Queue: "q-" + name, State: state, Epoch: 1, Attempts: attempts, MaxAttempts: 3}
		v.Worker, v.QueuedAt, v.StartedAt = worker, t1, t1
		change(&v)
		return v
	}
	want := dag.RunView{
		ID: s.run, Workflow: "test/view", Version: "1.0.0", Def: g.Digest, State: dag.RunRunning, Input: json.RawMessage(`{"cart":[1.0,2]}`),
		Key: "k", Labels: map[string]string{"x": "y"}, CorrelationID: "corr", TraceParent: "00-trace",
		Progress:  dag.Progress{Completed: 1, Total: 4, Percentage: 25},
		CreatedAt: t0, StartAt: t1, StartedAt: t1, Deadline: t1.Add(time.Hour),
		Steps: []dag.StepView{
			step("a", dag.StepSucceeded, 1, func(v *dag.StepView) { v.Output, v.QueuedAt, v.FinishedAt = json.RawMessage(`"a"`), t0, t1 }),
			step("b", dag.StepRetrying, 1, func(v *dag.StepView) {
				v.Failures, v.NextRetryAt = 1, t1.Add(5*time.Second)
				v.Error = &dag.StepError{Code: "SLOW", Message: "try later", Retryable: true}
			}),
			step("c", dag.StepFailed, 1, func(v *dag.StepView) {
				v.Failures, v.FinishedAt, v.Error = 1, t1, &dag.StepError{Code: "NO", Message: "it is broken", Refused: true}
			}),
			{Name: "d", Handler: "test.d", Queue: "q-d", State: dag.StepPending, MaxAttempts: 3},
		},
	}
	s.want("view", s.view(), want)
	s.advance(5 * time.Second)
	s.finish("b")
	view := s.view()
	s.want("ended", []any{view.State, view.FinishedAt, view.Progress.Percentage}, []any{dag.RunFailed, s.now, 50})
}

func readNothing(s *script) {
	s.start(compile(s.t, "nothing", "a", "b<a"), nil)
	s.finish("a")
	notFound := func(what string, err error) {
		s.t.Helper()
		if !errors.Is(err, engine.ErrNotFound) {
			s.t.Fatalf("%s: %v, want ErrNotFound", what, err)
		}
	}
	output := func(run, step string) (json.RawMessage, error) {
		return read(s.rig, "output", func(ctx context.Context, store Subject) (json.RawMessage, error) { return store.Output(ctx, run, step) })
	}
	got, err := output(s.run, "a")
	s.want("output", []any{string(got), err}, []any{`"a"`, nil})
	_, err = output(s.run, "b")
	notFound("output of a step that has none", err)
	_, err = output(s.run, "x")
	notFound("output of no step", err)
	gone := dag.NewRunID(5, "00000000000000000000000ZZZ")
	_, err = output(gone, "a")
	notFound("output of no run", err)
	_, err = read(s.rig, "run", func(ctx context.Context, store Subject) (dag.RunView, error) { return store.Run(ctx, gone) })
	notFound("run", err)
	_, err = read(s.rig, "log", func(ctx context.Context, store Subject) ([]dag.LogEntry, error) { return store.Log(ctx, gone) })
	notFound("log", err)
	_, err = read(s.rig, "graph", func(ctx context.Context, store Subject) (*dag.Graph, error) { return store.Graph(ctx, gone) })
	notFound("graph", err)
}

func (s *script) log() []dag.LogEntry {
	s.t.Helper()
	log, err := read(s.rig, "log", func(ctx context.Context, store Subject) ([]dag.LogEntry, error) { return store.Log(ctx, s.run) })
	s.want("error", err, nil)
	return log
}

func readLog(s *script) {
	s.start(compile(s.t, "log", "a", "b<a"), nil)
	s.release(s.claim("a"))
	s.stumbles("a", time.Second)
	s.advance(time.Second)
	s.dies("a")
	s.finish("a")
	s.breaks("b", false)
	s.retry(s.operator("b"))
	t0, t1, t2 := Epoch(), Epoch().Add(time.Second), Epoch().Add(time.Second+ttl)
	want := []dag.LogEntry{
		{At: t0, Event: "created"},
		{At: t0, Event: "begun", Step: "a", Epoch: 1, Attempt: 1, Worker: worker},
		{At: t0, Event: "released", Step: "a", Epoch: 2, Attempt: 1, Worker: worker},
		{At: t0, Event: "begun", Step: "a", Epoch: 2, Attempt: 2, Worker: worker},
		{At: t0, Event: "retrying", Step: "a", Epoch: 2, Attempt: 2, Worker: worker, Code: "SLOW", Message: "try later"},
		{At: t1, Event: "begun", Step: "a", Epoch: 2, Attempt: 3, Worker: worker},
		{At: t2, Event: "crashed", Step: "a", Epoch: 3, Attempt: 3, Worker: worker},
		{At: t2, Event: "begun", Step: "a", Epoch: 3, Attempt: 4, Worker: worker},
		{At: t2, Event: "succeeded", Step: "a", Epoch: 3, Attempt: 4, Worker: worker},
		{At: t2, Event: "begun", Step: "b", Epoch: 1, Attempt: 1, Worker: worker},
		{At: t2, Event: "failed", Step: "b", Epoch: 1, Attempt: 1, Worker: worker, Code: "NO", Message: "it is broken"},
		{At: t2, Event: "run_failed"},
		{At: t2, Event: "retried", Step: "b", Epoch: 2, Attempt: 1, Worker: worker, Message: "the provider is back", Actor: "ann"},
	}
	s.want("log", s.log(), want)
}

func readLongLog(s *script) {
	s.start(compile(s.t, "longlog", "a"), nil)
	s.quiet = true
	for i := range dag.MaxLogEntries/2 + 1 {
		s.begin(dag.BeginRequest{
			Delivery: dag.Delivery{Run: s.run, Step: "a", Epoch: i + 1}, Def: s.graph.Digest, Nonce: "n" + strconv.Itoa(i), Worker: worker, TTL: ttl,
		})
		s.release(s.ref("a", "n"+strconv.Itoa(i)))
	}
	s.quiet = false
	s.observe("many releases")
	log := s.log()
	s.want("lines", len(log), dag.MaxLogEntries)
	s.want("oldest", log[0].Event+" "+strconv.Itoa(log[0].Epoch), "begun 2")
	s.want("latest", log[len(log)-1].Event+" "+strconv.Itoa(log[len(log)-1].Epoch), "released 502")
}

func readGraph(s *script) {
	g := compile(s.t, "graph", "a", "b<a", "c<a,b")
	s.start(g, nil)
	got, err := read(s.rig, "graph", func(ctx context.Context, store Subject) (*dag.Graph, error) { return store.Graph(ctx, s.run) })
	s.want("error", err, nil)
	s.want("graph", got, g)
}

// letters reads all pages and returns run:step in their order.
func (s *script) letters(workflow string, limit int) []string {
	s.t.Helper()
	return s.lettersOf(dag.DeadLetterQuery{Workflow: workflow, Limit: limit})
}

func (s *script) lettersOf(q dag.DeadLetterQuery) []string {
	s.t.Helper()
	list, limit := []string{}, q.Limit
	for {
		page, err := s.letterPage(q)
		s.want("error", err, nil)
		if len(page.Letters) > limit {
			s.t.Fatalf("%d letters on a page of %d", len(page.Letters), limit)
		}
		for _, l := range page.Letters {
			list = append(list, l.Run+":"+l.Step)
		}
		if page.Next == "" {
			return list
		}
		q.Cursor = page.Next
	}
}

// letterPage reads one page. Cursors are each store's own, so no two stores are compared by them.
func (s *script) letterPage(q dag.DeadLetterQuery) (dag.DeadLetterPage, error) {
	return s.subjects[0].DeadLetters(s.t.Context(), q)
}

func readDeadLetters(s *script) {
	one, two := compile(s.t, "letters1", "a", "b"), compile(s.t, "letters2", "a", "b")
	var want, wantOne []string
	for i := range 6 {
		g := one
		if i%3 == 2 {
			g = two
		}
		// Runs of one millisecond in three partitions: the order among them is by name, downwards.
		s.start(g, func(r *dag.NewRun) {
			r.ID, r.CorrelationID = dag.NewRunID(i%3, strings.Repeat("0", 25)+strconv.Itoa(i)), "corr"
		})
		if i%2 == 0 {
			s.advance(time.Second)
		}
		s.breaks("a", false)
		s.breaks("b", true)
	}
	members := slices.Collect(maps.Keys(s.state.DLQ))
	slices.SortFunc(members, func(a, b string) int {
		pa, pb := position{s.state.DLQ[a], a}, position{s.state.DLQ[b], b}
		return pa.compare(pb)
	})
	for _, m := range members {
		want = append(want, m)
		run, _, _ := strings.Cut(m, ":")
		if s.state.Runs[run]["workflow"] == "test/letters1" {
			wantOne = append(wantOne, m)
		}
	}
	for _, limit := range []int{1, 2, 5, 12, 100} {
		s.want("all in pages of "+strconv.Itoa(limit), s.letters("", limit), want)
		s.want("of one workflow in pages of "+strconv.Itoa(limit), s.letters("test/letters1", limit), wantOne)
	}
	s.want("of no workflow", s.letters("test/none", 10), []string{})
	page, err := s.letterPage(dag.DeadLetterQuery{Limit: 1})
	s.want("error", err, nil)
	run, step, _ := strings.Cut(want[0], ":")
	s.want("a letter", page.Letters, []dag.DeadLetter{{
		Run: run, Step: step, Workflow: s.state.Runs[run]["workflow"], Attempts: 1, Worker: worker,
		StartedAt: time.UnixMilli(s.state.DLQ[want[0]]), FailedAt: time.UnixMilli(s.state.DLQ[want[0]]), CorrelationID: "corr",
		Error: dag.StepError{Code: "NO", Message: "it is broken", Refused: step == "b"},
	}})
}

func readSomeDeadLetters(s *script) {
	s.start(compile(s.t, "some1", "a", "b"), nil)
	s.breaks("a", false)
	s.stumbles("b", time.Second)
	s.advance(time.Second)
	s.bury(s.archived("b"))
	first := s.run
	s.start(compile(s.t, "some2", "a", "b"), nil)
	s.advance(time.Second)
	s.breaks("a", false)
	t1, t2 := Epoch().Add(time.Second), Epoch().Add(2*time.Second)
	oldest, middle, latest := first+":a", first+":b", s.run+":a"
	for what, q := range map[string]struct {
		query dag.DeadLetterQuery
		want  []string
	}{
		"all":                    {dag.DeadLetterQuery{}, []string{latest, middle, oldest}},
		"of a step":              {dag.DeadLetterQuery{Step: "a"}, []string{latest, oldest}},
		"of no step":             {dag.DeadLetterQuery{Step: "c"}, []string{}},
		"of a code":              {dag.DeadLetterQuery{Code: dag.CodeArchived}, []string{middle}},
		"of a step and workflow": {dag.DeadLetterQuery{Step: "a", Workflow: "test/some1"}, []string{oldest}},
		"after, that instant in": {dag.DeadLetterQuery{After: t1}, []string{latest, middle}},
		"before, without it":     {dag.DeadLetterQuery{Before: t2}, []string{middle, oldest}},
		"between":                {dag.DeadLetterQuery{After: t1, Before: t2}, []string{middle}},
		"between nothing":        {dag.DeadLetterQuery{After: t1, Before: t1}, []string{}},
	} {
		for _, limit := range []int{1, 100} {
			q.query.Limit = limit
			s.want(what+" in pages of "+strconv.Itoa(limit), s.lettersOf(q.query), q.want)
		}
	}
}

func (s *script) stats() dag.StoreStats {
	s.t.Helper()
	stats, err := s.subjects[0].Stats(s.t.Context())
	s.want("error", err, nil)
	for state, n := range stats.Runs {
		if n == 0 {
			delete(stats.Runs, state) // a store may list states without a run
		}
	}
	return stats
}

func readStats(s *script) {
	s.want("empty", s.stats(), dag.StoreStats{})
	g := compile(s.t, "stats", "a", "b")
	for range 2 {
		s.start(g, nil)
		s.breaks("a", false)
		s.finish("b")
	}
	s.start(g, func(r *dag.NewRun) { r.Key = "elsewhere" })
	s.claim("a")
	s.start(g, func(r *dag.NewRun) { r.StartAt = s.now.Add(time.Hour) })
	s.advance(3 * time.Second)
	s.want("stats", s.stats(), dag.StoreStats{
		Runs: map[dag.RunState]int64{dag.RunFailed: 2, dag.RunRunning: 1, dag.RunScheduled: 1}, Running: 1, DeadLetters: 2, Lag: 2 * time.Second,
	})
}

// registration is what a test puts into the catalogue. When it was registered is the store's to say.
func (s *script) registration(name, version, source string) dag.Registration {
	w := workflow(name, version, "a", "b<a")
	w.Steps[0].Handler, w.InputSchema = "test."+source, json.RawMessage(`{"type":"object"}`)
	digest, err := w.Digest()
	s.want("digest", err, nil)
	return dag.Registration{Workflow: &w, Digest: digest, Source: source}
}

// registered strips and sorts what a store lists.
func (s *script) registered(list []dag.Registration, err error) []string {
	s.t.Helper()
	s.want("error", err, nil)
	found := []string{}
	for _, r := range list {
		digest, err := r.Workflow.Digest()
		s.want("digest", []any{digest, err}, []any{r.Digest, nil})
		found = append(found, r.Workflow.FullName()+"@"+r.Workflow.Version+" "+r.Source)
	}
	slices.Sort(found)
	return found
}

func catalogWorkflows(s *script) {
	ctx, store := s.t.Context(), s.subjects[0]
	s.want("empty", s.registered(store.Workflows(ctx)), []string{})
	s.want("none", s.registered(store.Versions(ctx, "test/cat")), []string{})
	for _, r := range []dag.Registration{
		s.registration("cat", "1.0.0", "one"), s.registration("cat", "1.1.0", "two"), s.registration("dog", "1.0.0", "three"),
		s.registration("cat", "1.0.0", "one"),
	} {
		s.want("put", store.PutWorkflow(ctx, r, false), nil)
	}
	s.want("versions", s.registered(store.Versions(ctx, "test/cat")), []string{"test/cat@1.0.0 one", "test/cat@1.1.0 two"})
	other := s.registration("cat", "1.0.0", "changed")
	if err := store.PutWorkflow(ctx, other, false); !errors.Is(err, engine.ErrConflict) {
		s.t.Fatalf("another definition of the same version: %v", err)
	}
	s.want("kept", s.registered(store.Versions(ctx, "test/cat")), []string{"test/cat@1.0.0 one", "test/cat@1.1.0 two"})
	s.want("overwrite", store.PutWorkflow(ctx, other, true), nil)
	s.want("all", s.registered(store.Workflows(ctx)), []string{"test/cat@1.0.0 changed", "test/cat@1.1.0 two", "test/dog@1.0.0 three"})
}

func (s *script) workers() []dag.WorkerInfo {
	s.t.Helper()
	list, now, err := s.subjects[0].Workers(s.t.Context())
	s.want("error", err, nil)
	s.want("now", now, s.now)
	slices.SortFunc(list, func(a, b dag.WorkerInfo) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func catalogWorkers(s *script) {
	ctx, store := s.t.Context(), s.subjects[0]
	s.want("none", s.workers(), []dag.WorkerInfo(nil))
	w := dag.WorkerInfo{ID: "w1", Host: "h", PID: 7, Queues: []string{"q"}, Handlers: []string{"x", "y"}, Running: 2, TTL: ttl}
	s.want("put", store.PutWorker(ctx, w, false), nil)
	t0 := s.now
	s.advance(time.Second)
	other := dag.WorkerInfo{ID: "w2", TTL: ttl}
	s.want("put", store.PutWorker(ctx, other, true), nil)
	seen, left := w, other
	seen.SeenAt, left.SeenAt, left.LeftAt = t0, s.now, s.now
	s.want("workers", s.workers(), []dag.WorkerInfo{seen, left})
	s.advance(time.Hour)
	s.want("silent for more than an hour", s.workers(), []dag.WorkerInfo{left})
	s.want("put", store.PutWorker(ctx, other, false), nil)
	s.want("back again", s.workers(), []dag.WorkerInfo{{ID: "w2", TTL: ttl, SeenAt: s.now}})
}

func catalogInfo(s *script) {
	info, err := s.subjects[0].Info(s.t.Context())
	s.want("error", err, nil)
	if info.Version == "" || info.Mode == "" || info.Persistence == "" {
		s.t.Fatalf("info says too little: %+v", info)
	}
}
