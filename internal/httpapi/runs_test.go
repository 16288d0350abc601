package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestStartAnswersWithTheRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	a := r.post("/v1/runs", `{"workflow":"shop/order@1.0.0","input":{"email":"a@example.com","sum":1.10},"labels":{"team":"x"},"profiles":["fast"],"timeout":"30m"}`,
		"X-Correlation-Id", "corr-1", "Traceparent", trace, "X-Request-Id", "req-7")
	run := a.object(http.StatusAccepted)
	id, _ := run["id"].(string)
	if a.Header().Get("Location") != "/v1/runs/"+id || a.Header().Get("Idempotent-Replayed") != "" || a.Header().Get("X-Request-Id") != "req-7" {
		t.Errorf("headers %v", a.Header())
	}
	want := `{"id":"` + id + `","workflow":"shop/order","version":"1.0.0","state":"running","input":{"email":"a@example.com","sum":1.10},` +
		`"labels":{"team":"x"},"correlation_id":"corr-1","progress":{"completed":0,"total":2,"percentage":0},"steps":[` +
		`{"name":"pay","state":"queued","handler":"shop.pay","queue":"shop-fast","attempts":0,"failures":0,"crashes":0,"max_attempts":2,"queued_at":"2026-01-02T03:04:05.678Z"},` +
		`{"name":"ship","state":"pending","handler":"shop.ship","queue":"shop-fast","attempts":0,"failures":0,"crashes":0,"max_attempts":3}],` +
		`"deadline":"2026-01-02T03:34:05.678Z","created_at":"2026-01-02T03:04:05.678Z",` +
		`"warnings":["no worker serves queue shop-fast; the run waits until one does"]}` + "\n"
	if d := cmp.Diff(want, a.Body.String()); d != "" {
		t.Error(d)
	}
	if v, err := r.store.Run(t.Context(), id); err != nil || v.TraceParent != trace {
		t.Errorf("trace parent %q, %v", v.TraceParent, err)
	}
	got := r.get("/v1/runs/" + id)
	if want := strings.Replace(want, `,"warnings":["no worker serves queue shop-fast; the run waits until one does"]`, "", 1); got.Body.String() != want {
		t.Errorf("GET gives %s", got.Body)
	}
}

func TestRunShowsWhatBecameOfItsSteps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.start()
	r.complete(`{"amount":10.50}`)
	if _, err := r.engine.Fail(t.Context(), r.take(), dag.StepError{Code: "AWAY", Message: "carrier is away", Retryable: true}, 0, time.Second); err != nil {
		t.Fatal(err)
	}
	run := r.get("/v1/runs/" + id).object(http.StatusOK)
	if run["state"] != "running" || run["started_at"] != "2026-01-02T03:04:05.678Z" {
		t.Errorf("run %v", run)
	}
	if d := cmp.Diff(map[string]any{"completed": 1.0, "total": 2.0, "percentage": 50.0}, run["progress"]); d != "" {
		t.Error(d)
	}
	if a := r.get("/v1/runs/" + id + "/steps/pay"); !strings.Contains(a.Body.String(), `"output":{"amount":10.50}`) || !strings.Contains(a.Body.String(), `"worker":"w1"`) {
		t.Errorf("step pay: %s", a.Body)
	}
	ship := r.get("/v1/runs/" + id + "/steps/ship").object(http.StatusOK)
	if d := cmp.Diff(map[string]any{"message": "carrier is away", "code": "AWAY", "retryable": true}, ship["error"]); d != "" {
		t.Error(d)
	}
	if at, err := time.Parse(time.RFC3339, fmt.Sprint(ship["next_retry_at"])); ship["state"] != "retrying" || err != nil || !at.After(r.store.Now()) {
		t.Errorf("step ship: %v", ship)
	}
	steps, _ := r.get("/v1/runs/" + id + "/steps").object(http.StatusOK)["steps"].([]any)
	if len(steps) != 2 {
		t.Errorf("steps %v", steps)
	}
	log, _ := r.get("/v1/runs/" + id + "/log").object(http.StatusOK)["log"].([]any)
	first, _ := log[0].(map[string]any)
	if len(log) < 4 || first["event"] != "created" || first["at"] != "2026-01-02T03:04:05.678Z" {
		t.Errorf("log %v", log)
	}
	if strings.Contains(r.get("/v1/runs/"+id).Body.String(), "null") {
		t.Error("null in a body")
	}
}

func TestRunGraph(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.start()
	r.complete(`{}`)
	for format, c := range map[string]struct{ contentType, has string }{
		"mermaid": {"text/plain; charset=utf-8", "succeeded"},
		"dot":     {"text/vnd.graphviz; charset=utf-8", "digraph"},
		"svg":     {"image/svg+xml", "<svg"},
		"json":    {"application/json", `"state":"succeeded"`},
	} {
		a := r.get("/v1/runs/" + id + "/graph?format=" + format)
		if a.Code != http.StatusOK || a.Header().Get("Content-Type") != c.contentType || !strings.Contains(a.Body.String(), c.has) {
			t.Errorf("%s: %d %q %.200s", format, a.Code, a.Header().Get("Content-Type"), a.Body)
		}
	}
	if a := r.get("/v1/runs/" + id + "/graph"); a.Header().Get("Content-Type") != "application/json" {
		t.Errorf("default is %s", a.Header().Get("Content-Type"))
	}
	p := r.get("/v1/runs/"+id+"/graph?format=png").problem(http.StatusUnprocessableEntity, "invalid_request")
	if !strings.Contains(p.Detail, "mermaid, dot, svg, json") || strings.Contains(p.Detail, "png") {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const n = 50
	ids := make([]string, n)
	codes := make([]int, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			a := r.post("/v1/runs", goodStart, "Idempotency-Key", "order-42")
			var run struct{ ID string }
			_ = json.Unmarshal(a.Body.Bytes(), &run)
			ids[i], codes[i] = run.ID, a.Code
			if (a.Code == http.StatusOK) != (a.Header().Get("Idempotent-Replayed") == "true") {
				t.Errorf("status %d with Idempotent-Replayed %q", a.Code, a.Header().Get("Idempotent-Replayed"))
			}
		})
	}
	group.Wait()
	created := 0
	for i := range n {
		if ids[i] != ids[0] || ids[i] == "" {
			t.Fatalf("one key made runs %s and %s", ids[0], ids[i])
		}
		if codes[i] == http.StatusAccepted {
			created++
		}
	}
	if created != 1 {
		t.Errorf("%d of %d answers were 202, want 1", created, n)
	}

	// Key order and white space make no other body.
	same := `{ "input": {"email":"a@example.com"}, "workflow":"shop/order" }`
	r.post("/v1/runs", same, "Idempotency-Key", "order-42").object(http.StatusOK)
	other := strings.Replace(goodStart, "a@example.com", "b@example.com", 1)
	p := r.post("/v1/runs", other, "Idempotency-Key", "order-42").problem(http.StatusConflict, "idempotency_mismatch")
	if !strings.Contains(p.Detail, "use a new key, or send the body as it was") {
		t.Errorf("detail %q", p.Detail)
	}

	seen := map[string]bool{}
	for range 5 {
		seen[r.start()] = true
	}
	if len(seen) != 5 {
		t.Errorf("5 starts without a key made %d runs", len(seen))
	}
}

func TestBadStarts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	big := `{"workflow":"shop/order","input":"` + strings.Repeat("x", 600<<10) + `"}`
	deep := `{"workflow":"shop/order","input":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
		code    string
		pointer string // of the first error, "-" for none
		says    string
	}{
		"empty body":         {"", nil, 400, "bad_request", "-", "body is required"},
		"malformed":          {"{\n  \"workflow\": shop\n}", nil, 400, "malformed_json", "-", "line 2, column 15"},
		"cut short":          {`{"workflow":`, nil, 400, "malformed_json", "-", "line 1, column"},
		"trailing":           {goodStart + "x", nil, 400, "malformed_json", "-", "line 1"},
		"too deep":           {deep, nil, 400, "malformed_json", "-", "limit of 64"},
		"not utf-8":          {"{\"workflow\":\"\xff\"}", nil, 400, "malformed_json", "-", "UTF-8"},
		"no object":          {`[1]`, nil, 422, "invalid_request", "-", "JSON object with the field workflow"},
		"no workflow":        {`{}`, nil, 422, "invalid_request", "/workflow", "required"},
		"unknown field":      {`{"workflow":"shop/order","inputs":{}}`, nil, 422, "invalid_request", "/inputs", "no such field; known are workflow, input"},
		"wrong type":         {`{"workflow":7}`, nil, 422, "invalid_request", "/workflow", "must be a string"},
		"bad duration":       {`{"workflow":"shop/order","delay":"soon"}`, nil, 422, "invalid_request", "/delay", "for example"},
		"bad time":           {`{"workflow":"shop/order","start_at":"tomorrow"}`, nil, 422, "invalid_request", "/start_at", "RFC 3339"},
		"bad label":          {`{"workflow":"shop/order","labels":{"a b":"c"}}`, nil, 422, "invalid_request", "/labels/a b", "use letters"},
		"bad profile":        {`{"workflow":"shop/order","profiles":["slow"],"input":{"email":"a@example.com"}}`, nil, 422, "invalid_request", "/profiles", "this workflow has fast"},
		"bad name":           {`{"workflow":"order"}`, nil, 422, "invalid_request", "-", "namespace/name@version"},
		"unknown workflow":   {`{"workflow":"shop/none"}`, nil, 404, "not_found", "-", "GET /v1/workflows lists"},
		"unknown version":    {`{"workflow":"shop/order@9.0.0"}`, nil, 404, "not_found", "-", "registered are 1.0.0, 1.10.0"},
		"schema":             {`{"workflow":"shop/order","input":{"email":"s3cret","items":[{"quantity":0}]}}`, nil, 422, "invalid_input", "/email", "must be a valid email"},
		"missing input":      {`{"workflow":"shop/order"}`, nil, 422, "invalid_input", "/email", "is required"},
		"duplicate key":      {`{"workflow":"shop/order","input":{"email":"a@example.com","a":1,"a":2}}`, nil, 422, "invalid_request", "-", "twice"},
		"large":              {big, nil, 413, "too_large", "-", "524288 bytes"},
		"large start":        {`{"workflow":"` + strings.Repeat("x", 400<<10) + `"}`, nil, 413, "too_large", "-", "327680 bytes"},
		"large input":        {`{"workflow":"shop/order","input":"` + strings.Repeat("x", 260<<10) + `"}`, nil, 422, "invalid_request", "-", "limit of 262144"},
		"media type":         {goodStart, []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type", "-", "Content-Type: application/json"},
		"no media type":      {goodStart, []string{"Content-Type", ""}, 415, "unsupported_media_type", "-", "Content-Type: application/json"},
		"key too long":       {goodStart, []string{"Idempotency-Key", strings.Repeat("s3cret", 50)}, 400, "invalid_idempotency_key", "-", "use a shorter one"},
		"key not ascii":      {goodStart, []string{"Idempotency-Key", "s3cret-ü"}, 400, "invalid_idempotency_key", "-", "UUID"},
		"key empty":          {goodStart, []string{"Idempotency-Key", ""}, 400, "invalid_idempotency_key", "-", "leave it out"},
		"key in body":        {`{"workflow":"shop/order","idempotency_key":"ü"}`, nil, 400, "invalid_idempotency_key", "-", "field idempotency_key"},
		"keys differ":        {`{"workflow":"shop/order","idempotency_key":"a"}`, []string{"Idempotency-Key", "b"}, 400, "invalid_idempotency_key", "-", "send one of them"},
		"correlation":        {goodStart, []string{"X-Correlation-Id", strings.Repeat("x", 300)}, 422, "invalid_request", "-", "at most 256"},
		"start_at and delay": {`{"workflow":"shop/order","delay":"1s","start_at":"2026-01-02T15:04:05Z"}`, nil, 422, "invalid_request", "-", "give one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := r.post("/v1/runs", c.body, c.headers...)
			a.t = t
			p := a.problem(c.status, c.code)
			lines := []string{p.Detail}
			for _, e := range p.Errors {
				lines = append(lines, e.Pointer+": "+e.Message)
			}
			text := strings.Join(lines, "\n")
			if !strings.Contains(text, c.says) {
				t.Errorf("problem lacks %q: %s", c.says, text)
			}
			switch {
			case c.pointer == "-" && len(p.Errors) > 0, c.pointer != "-" && (len(p.Errors) == 0 || p.Errors[0].Pointer != c.pointer):
				t.Errorf("errors %+v, want pointer %q first", p.Errors, c.pointer)
			}
			if strings.Contains(a.Body.String(), "s3cret") {
				t.Errorf("a value is repeated: %s", a.Body)
			}
		})
	}
}

func TestBadStartListsAllAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.post("/v1/runs", `{"workflow":7,"delay":"soon","timeout":5,"what":1}`).problem(422, "invalid_request")
	var pointers []string
	for _, e := range p.Errors {
		pointers = append(pointers, e.Pointer)
	}
	if d := cmp.Diff([]string{"/delay", "/timeout", "/what", "/workflow"}, pointers); d != "" {
		t.Error(d)
	}
	p = r.post("/v1/runs", `{"workflow":"shop/order","input":{"email":5,"items":[{"quantity":0},{"quantity":"x"}]}}`).problem(422, "invalid_input")
	if len(p.Errors) != 3 {
		t.Errorf("errors %+v, want 3", p.Errors)
	}
}

func TestUnknownRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	none := "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"
	id := r.start()
	for _, path := range []string{"", "/steps", "/steps/pay", "/log", "/graph"} {
		p := r.get("/v1/runs/"+none+path).problem(http.StatusNotFound, "not_found")
		if !strings.Contains(p.Detail, none) {
			t.Errorf("detail %q", p.Detail)
		}
		p = r.get("/v1/runs/nonsense"+path).problem(http.StatusNotFound, "not_found")
		if !strings.Contains(p.Detail, "a run ID looks like run_") {
			t.Errorf("detail %q", p.Detail)
		}
	}
	if p := r.get("/v1/runs/"+id+"/steps/none").problem(http.StatusNotFound, "not_found"); !strings.Contains(p.Detail, "its steps are pay, ship") {
		t.Errorf("detail %q", p.Detail)
	}
	r.post("/v1/runs/nonsense/retry", "").problem(http.StatusNotFound, "not_found")
	r.post("/v1/runs/"+none+"/retry", "").problem(http.StatusNotFound, "not_found")
	r.post("/v1/runs/"+id+"/steps/none/retry", "").problem(http.StatusNotFound, "not_found")
}

func TestRetry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.start()
	p := r.post("/v1/runs/"+id+"/retry", "").problem(http.StatusConflict, "conflict")
	if !strings.Contains(p.Detail, "no failed step to retry") {
		t.Errorf("detail %q", p.Detail)
	}
	r.fail()
	if run := r.get("/v1/runs/" + id).object(http.StatusOK); run["state"] != "failed" {
		t.Fatalf("run %v", run)
	}
	if run := r.post("/v1/runs/"+id+"/retry", `{"reason":"card mended"}`).object(http.StatusAccepted); run["state"] != "running" {
		t.Errorf("run %v", run)
	}
	r.fail()
	if run := r.post("/v1/runs/"+id+"/steps/pay/retry", "").object(http.StatusAccepted); run["state"] != "running" {
		t.Errorf("run %v", run)
	}
	if a := r.get("/v1/runs/" + id + "/log"); !strings.Contains(a.Body.String(), `"message":"card mended","actor":"api"`) {
		t.Errorf("log %s", a.Body)
	}
	p = r.post("/v1/runs/"+id+"/retry", `{"reason":5}`).problem(422, "invalid_request")
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/reason" || p.Errors[0].Message != "expected string" {
		t.Errorf("errors %+v", p.Errors)
	}
	p = r.post("/v1/runs/"+id+"/retry", `{"why":"x"}`).problem(422, "invalid_request")
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/why" || !strings.Contains(p.Errors[0].Message, "remove it") {
		t.Errorf("errors %+v", p.Errors)
	}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var ids []string
	for range 3 {
		ids = append(ids, r.start())
		r.fail()
		r.store.Advance(time.Second)
	}
	page := r.get("/v1/dead-letters?limit=2").object(http.StatusOK)
	letters, _ := page["dead_letters"].([]any)
	want := map[string]any{
		"run_id": ids[2], "step": "pay", "workflow": "shop/order", "attempts": 1.0, "crashes": 0.0, "worker": "w1",
		"started_at": "2026-01-02T03:04:07.678Z", "failed_at": "2026-01-02T03:04:07.678Z",
		"error": map[string]any{"code": "DECLINED", "message": "the card was declined", "retryable": false},
	}
	if d := cmp.Diff(want, letters[0]); d != "" || len(letters) != 2 {
		t.Errorf("%d letters: %s", len(letters), d)
	}
	cursor, _ := page["next_cursor"].(string)
	last := r.get("/v1/dead-letters?limit=2&cursor=" + cursor).object(http.StatusOK)
	if letters, _ := last["dead_letters"].([]any); len(letters) != 1 || last["next_cursor"] != nil {
		t.Errorf("last page %v", last)
	}
	if none := r.get("/v1/dead-letters?workflow=shop/other"); !strings.Contains(none.Body.String(), `{"dead_letters":[]}`) {
		t.Errorf("other workflow: %s", none.Body)
	}
	p := r.get("/v1/dead-letters?limit=101").problem(422, "invalid_request")
	if !strings.Contains(p.Detail, "query parameter limit: expected number <= 100") {
		t.Errorf("detail %q", p.Detail)
	}

	body := fmt.Sprintf(`{"items":[{"run_id":%q,"step":"pay"},{"run_id":%q,"step":"ship"},{"run_id":"nonsense","step":"pay"},{"run_id":"run_00_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA","step":"pay"}],"reason":"again"}`, ids[0], ids[1])
	results, _ := r.post("/v1/dead-letters/redrive", body).object(http.StatusOK)["results"].([]any)
	var got []string
	for _, x := range results {
		m, _ := x.(map[string]any)
		e, _ := m["error"].(map[string]any)
		got = append(got, fmt.Sprint(m["queued"], " ", e["code"]))
	}
	if d := cmp.Diff([]string{"true <nil>", "false conflict", "false invalid_request", "false not_found"}, got); d != "" {
		t.Error(d)
	}
	many := `{"items":[` + strings.Repeat(`{"run_id":"a","step":"b"},`, 100) + `{"run_id":"a","step":"b"}]}`
	for _, body := range []string{`{"items":[]}`, many, `{"items":[{"run_id":"a"}]}`, `{}`} {
		p := r.post("/v1/dead-letters/redrive", body).problem(422, "invalid_request")
		if len(p.Errors) != 1 || !strings.HasPrefix(p.Errors[0].Pointer+"/items", "/items") {
			t.Errorf("%.60s: errors %+v", body, p.Errors)
		}
	}
}

func TestWorkflows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	want := `{"workflows":[{"namespace":"shop","name":"order","version":"1.10.0","versions":["1.0.0","1.10.0","2.0.0-rc.1"],"description":"An order","steps":2}]}` + "\n"
	for _, path := range []string{"/v1/workflows", "/v1/workflows/shop"} {
		if d := cmp.Diff(want, r.get(path).Body.String()); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
	w := r.get("/v1/workflows/shop/order?version=1.0.0").object(http.StatusOK)
	graph, _ := w["graph"].(map[string]any)
	nodes, _ := graph["nodes"].([]any)
	if w["version"] != "1.0.0" || len(nodes) != 2 || w["input_schema"] == nil || w["source"] == nil || len(fmt.Sprint(w["digest"])) != 32 {
		t.Errorf("workflow %v", w)
	}
	if got := r.get("/v1/workflows/shop/order").object(http.StatusOK); got["version"] != "1.10.0" {
		t.Errorf("without a version: %v", got["version"])
	}
	r.get("/v1/workflows/shop/order?version=7.0.0").problem(http.StatusNotFound, "not_found")
	r.get("/v1/workflows/shop/none").problem(http.StatusNotFound, "not_found")
	r.get("/v1/workflows/none").problem(http.StatusNotFound, "not_found")
	r.get("/v1/workflows/No-Name").problem(422, "invalid_request")
}

func TestStatus(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	err := r.store.PutWorker(t.Context(), dag.WorkerInfo{ID: "w1", Host: "h", Queues: []string{"shop"}, Handlers: []string{"shop.pay"}, Running: 1, TTL: time.Minute}, false)
	if err != nil {
		t.Fatal(err)
	}
	s := r.get("/v1/status").object(http.StatusOK)
	if s["version"] != "1.2.3" || s["agenda_lag_ms"] == nil {
		t.Errorf("status %v", s)
	}
	runs, _ := s["runs"].(map[string]any)
	if len(runs) != len(dag.AllRunStates()) || runs["running"] != 1.0 {
		t.Errorf("runs %v", runs)
	}
	wantQueues := []any{map[string]any{"name": "shop", "size": 1.0, "latency_ms": 0.0, "paused": false, "workers": 1.0}}
	if d := cmp.Diff(wantQueues, s["queues"]); d != "" {
		t.Error(d)
	}
	wantWorkers := []any{map[string]any{
		"id": "w1", "host": "h", "queues": []any{"shop"}, "handlers": []any{"shop.pay"}, "running": 1.0, "seen_at": "2026-01-02T03:04:05.678Z",
	}}
	if d := cmp.Diff(wantWorkers, s["workers"]); d != "" {
		t.Error(d)
	}
	wantUnserved := []any{
		map[string]any{"queue": "shop", "handler": "shop.ship", "since": "2026-01-02T03:04:05.678Z"},
		map[string]any{"queue": "shop-fast", "since": "2026-01-02T03:04:05.678Z"},
	}
	if d := cmp.Diff(wantUnserved, s["unserved"]); d != "" {
		t.Error(d)
	}
}

func TestRedisAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.start()
	r.faults.Hook = func(string) enginetest.Fault { return enginetest.FaultRefused }
	for _, path := range []string{"/v1/runs/" + id, "/v1/status", "/v1/workflows", "/v1/dead-letters", "/readyz"} {
		a := r.get(path)
		if p := a.problem(http.StatusServiceUnavailable, "unavailable"); a.Header().Get("Retry-After") != "2" || !strings.Contains(p.Detail, "repeat") {
			t.Errorf("%s: Retry-After %q, %+v", path, a.Header().Get("Retry-After"), p)
		}
	}
	r.post("/v1/runs", goodStart).problem(http.StatusServiceUnavailable, "unavailable")
	for path, body := range map[string]string{
		"/v1/runs/" + id + "/retry": "", "/v1/runs/" + id + "/cancel": "", "/v1/runs/" + id + "/pause": "", "/v1/runs/" + id + "/resume": "",
		"/v1/runs/" + id + "/steps/pay/retry": "", "/v1/runs/" + id + "/steps/pay/skip": "", "/v1/runs/" + id + "/steps/pay/resolve": `{"output":1}`,
		"/v1/dead-letters/redrive": `{"all":true}`,
	} {
		a := r.post(path, body)
		if a.problem(http.StatusServiceUnavailable, "unavailable"); a.Header().Get("Retry-After") != "2" {
			t.Errorf("%s: Retry-After %q", path, a.Header().Get("Retry-After"))
		}
	}
	if s := r.get("/healthz").object(http.StatusOK); s["status"] != "ok" {
		t.Errorf("healthz %v", s)
	}
	r.faults.Hook = nil
	if s := r.get("/readyz").object(http.StatusOK); s["status"] != "ready" {
		t.Errorf("readyz %v", s)
	}
	if !strings.Contains(r.log.String(), "request refused") || !strings.Contains(r.log.String(), engine.ErrUnavailable.Error()) {
		t.Errorf("log: %s", r.log)
	}
}
