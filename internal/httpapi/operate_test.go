package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/pkg/dag"
)

// stateOf is the state of a run's step.
func stateOf(run map[string]any, step string) string {
	steps, _ := run["steps"].([]any)
	for _, x := range steps {
		if s, _ := x.(map[string]any); s["name"] == step {
			return fmt.Sprint(s["state"])
		}
	}
	return ""
}

func TestVerbs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.start()
	at := "/v1/runs/" + id
	for _, c := range []struct {
		path, body string
		run        string // the state that comes back; "" for a conflict
		says       []string
	}{
		{path: "/resume", says: []string{"is running", "resume works on a paused run"}},
		{path: "/pause", body: `{"reason":"look first"}`, run: "paused"},
		{path: "/pause", says: []string{"is paused", "pause works on a running run"}},
		{path: "/resume", run: "running"},
		{path: "/steps/ship/skip", says: []string{"step ship", "is pending", "failed, queued, retrying or waiting"}},
		{path: "/steps/pay/skip", run: "running"},
		{path: "/steps/pay/skip", says: []string{"is skipped"}},
		{path: "/steps/ship/resolve", body: `{"output":{"parcel":1.50},"reason":"sent by hand"}`, run: "succeeded"},
		{path: "/cancel", says: []string{"is succeeded", "cancel works on a scheduled, running or paused run"}},
	} {
		a := r.post(at+c.path, c.body)
		if c.run != "" {
			if run := a.object(http.StatusAccepted); run["state"] != c.run {
				t.Errorf("%s: the run is %v, want %s", c.path, run["state"], c.run)
			}
			continue
		}
		p := a.problem(http.StatusConflict, "conflict")
		for _, want := range c.says {
			if !strings.Contains(p.Detail, want) {
				t.Errorf("%s says %q, want %q in it", c.path, p.Detail, want)
			}
		}
	}
	run := r.get(at).object(http.StatusOK)
	if stateOf(run, "pay") != "skipped" || stateOf(run, "ship") != "succeeded" || !strings.Contains(r.get(at+"/steps/ship").Body.String(), `"output":{"parcel":1.50}`) {
		t.Errorf("run %v", run)
	}
	if log := r.get(at + "/log").Body.String(); !strings.Contains(log, `"message":"look first","actor":"api"`) || !strings.Contains(log, `"message":"sent by hand"`) {
		t.Errorf("log %s", log)
	}
}

func TestCancelWhileAHandlerRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.start()
	claim := r.take()
	if run := r.post("/v1/runs/"+id+"/cancel", "").object(http.StatusAccepted); run["state"] != "cancelling" || stateOf(run, "ship") != "cancelled" {
		t.Errorf("run %v", run)
	}
	if _, err := r.engine.Complete(t.Context(), claim, json.RawMessage(`1`), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if run := r.get("/v1/runs/" + id).object(http.StatusOK); run["state"] != "cancelled" || stateOf(run, "pay") != "succeeded" {
		t.Errorf("run %v", run)
	}
}

func TestVerbsTellWhoAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.start()
	r.post("/v1/runs/"+id+"/pause", "", "X-Actor", "ada@example.com").object(http.StatusAccepted)
	if log := r.get("/v1/runs/" + id + "/log").Body.String(); !strings.Contains(log, `"actor":"ada@example.com"`) {
		t.Errorf("log %s", log)
	}
	for _, actor := range []string{strings.Repeat("a", 257), "a\tb", "schön"} {
		p := r.post("/v1/runs/"+id+"/resume", "", "X-Actor", actor).problem(http.StatusUnprocessableEntity, "invalid_request")
		if !strings.Contains(p.Detail, "X-Actor") {
			t.Errorf("%.20q: %q", actor, p.Detail)
		}
	}
	r.post("/v1/runs/"+id+"/resume", "", "X-Actor", "").object(http.StatusAccepted)
}

func TestVerbWithAKeyIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.start()
	for range 2 {
		if run := r.post("/v1/runs/"+id+"/pause", "", "Idempotency-Key", "k,1").object(http.StatusAccepted); run["state"] != "paused" {
			t.Errorf("run %v", run)
		}
	}
	if run := r.post("/v1/runs/"+id+"/resume", "", "Idempotency-Key", "k,1").object(http.StatusAccepted); run["state"] != "running" {
		t.Errorf("the key of another verb: %v", run)
	}
	log := r.get("/v1/runs/" + id + "/log").Body.String()
	if n := strings.Count(log, `"event":"paused"`); n != 1 {
		t.Errorf("paused %d times: %s", n, log)
	}
}

func TestBadVerbs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.start()
	none := "run_00_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"
	for _, verb := range []string{"cancel", "pause", "resume"} {
		r.post("/v1/runs/"+none+"/"+verb, "").problem(http.StatusNotFound, "not_found")
		r.post("/v1/runs/nonsense/"+verb, "").problem(http.StatusNotFound, "not_found")
	}
	for verb, body := range map[string]string{"skip": "", "resolve": `{"output":null}`} {
		r.post("/v1/runs/"+none+"/steps/pay/"+verb, body).problem(http.StatusNotFound, "not_found")
		r.post("/v1/runs/"+id+"/steps/nope/"+verb, body).problem(http.StatusNotFound, "not_found")
	}
	large := `{"output":"` + strings.Repeat("x", dag.MaxOutputBytes) + `"}`
	for _, c := range []struct {
		body, code string
		status     int
		says       string
	}{
		{"", "bad_request", http.StatusBadRequest, "body is required"},
		{`{}`, "invalid_request", 422, "output"},
		{`{"reason":"x"}`, "invalid_request", 422, "output"},
		{`{"output":{]}`, "malformed_json", http.StatusBadRequest, "not JSON"},
		{large, "invalid_request", 422, "limit of 262144"},
		{`{"output":1,"why":2}`, "invalid_request", 422, "remove it"},
	} {
		p := r.post("/v1/runs/"+id+"/steps/pay/resolve", c.body).problem(c.status, c.code)
		if !strings.Contains(fmt.Sprint(p.Detail, p.Errors), c.says) {
			t.Errorf("%.40s: %q %v", c.body, p.Detail, p.Errors)
		}
	}
	if run := r.get("/v1/runs/" + id).object(http.StatusOK); run["state"] != "running" || stateOf(run, "pay") != "queued" {
		t.Errorf("a bad verb changed the run: %v", run)
	}
}

func TestRedriveByFilter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var ids []string
	for range 3 {
		ids = append(ids, r.start())
		r.fail()
		r.store.Advance(time.Minute)
	}
	since := "2026-01-02T03:05:05Z" // of the last two
	if page := r.get("/v1/dead-letters?step=pay&code=DECLINED&failed_after=" + since).object(http.StatusOK); len(page["dead_letters"].([]any)) != 2 {
		t.Errorf("page %v", page)
	}
	for _, query := range []string{"step=ship", "code=POISON", "failed_before=2026-01-01T00:00:00Z", "workflow=shop/other"} {
		if body := r.get("/v1/dead-letters?" + query).Body.String(); !strings.Contains(body, `{"dead_letters":[]}`) {
			t.Errorf("%s: %s", query, body)
		}
	}
	r.get("/v1/dead-letters?failed_after=yesterday").problem(422, "invalid_request")

	redrive := func(body string) map[string]any {
		t.Helper()
		return r.post("/v1/dead-letters/redrive", body, "X-Actor", "ada").object(http.StatusOK)
	}
	want := map[string]any{"queued": 0.0, "failed": 0.0, "results": []any{}, "more": false}
	if d := cmp.Diff(want, redrive(`{"filter":{"code":"POISON"}}`)); d != "" {
		t.Error(d)
	}
	first := redrive(`{"filter":{"code":"DECLINED","failed_after":"` + since + `"},"limit":1,"rate":500,"reason":"card mended"}`)
	if first["queued"] != 1.0 || first["more"] != true || first["next_cursor"] == nil {
		t.Errorf("with a limit: %v", first)
	}
	if log := r.get("/v1/runs/" + ids[2] + "/log").Body.String(); !strings.Contains(log, `"message":"card mended","actor":"ada"`) {
		t.Errorf("log %s", log)
	}
	cursor, _ := first["next_cursor"].(string)
	rest := redrive(fmt.Sprintf(`{"filter":{"code":"DECLINED"},"rate":500,"cursor":%q}`, cursor))
	if rest["queued"] != 2.0 || rest["more"] != false {
		t.Errorf("the rest: %v", rest)
	}
	if page := r.get("/v1/dead-letters").object(http.StatusOK); len(page["dead_letters"].([]any)) != 0 {
		t.Errorf("still dead: %v", page)
	}
}

func TestBadRedrives(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	item := `"items":[{"run_id":"a","step":"b"}]`
	for body, says := range map[string]string{
		`{"filter":{}}`:                           "all: true",
		`{"all":false}`:                           "all: true",
		`{` + item + `,"all":true}`:               "items go alone",
		`{` + item + `,"filter":{"step":"pay"}}`:  "items go alone",
		`{` + item + `,"limit":1}`:                "items go alone",
		`{"all":true,"limit":10001}`:              "10000",
		`{"all":true,"rate":0.01}`:                "0.1",
		`{"filter":{"steps":"pay"}}`:              "remove it",
		`{"filter":{"failed_after":"yesterday"}}`: "date-time",
	} {
		p := r.post("/v1/dead-letters/redrive", body).problem(422, "invalid_request")
		if !strings.Contains(fmt.Sprint(p.Detail, p.Errors), says) {
			t.Errorf("%s: %q %v, want %q", body, p.Detail, p.Errors, says)
		}
	}
}
