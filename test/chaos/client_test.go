//go:build integration

package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/test/chaos"
)

const (
	callLimit = 4 * time.Second // for one request; an API without Redis answers after 2 s
	retryWait = 200 * time.Millisecond
)

// client is anybody outside. It asks one of the APIs, and another when that one does not answer.
type client struct {
	apis    []string
	gateway string
	http    *http.Client
}

func newClient(apis []string, gateway string) *client {
	return &client{apis: apis, gateway: gateway, http: &http.Client{Timeout: callLimit, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
}

// refusal is an answer that nobody should get.
type refusal struct {
	status int
	body   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.status, r.body) }

func (c *client) ready(ctx context.Context, url string) bool {
	_, _, err := c.once(ctx, http.MethodGet, url+"/readyz", nil, "")
	return err == nil
}

// once calls once. The error is a [*refusal] when there was an answer.
func (c *client) once(ctx context.Context, method, url string, body any, key string) (raw []byte, status int, err error) {
	var payload io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, 0, err
		}
		payload = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, payload)
	if err != nil {
		return nil, 0, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up
	raw, err = io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = &refusal{status: resp.StatusCode, body: string(raw)}
	}
	return raw, resp.StatusCode, err
}

// ask calls one API after the other until there is an answer other than 503, or ctx ends. again is told of each try that was in vain.
func (c *client) ask(ctx context.Context, method, path string, body any, key string, again func()) ([]byte, error) {
	for {
		raw, status, err := c.once(ctx, method, c.apis[rand.IntN(len(c.apis))]+path, body, key)
		if status != 0 && status != http.StatusServiceUnavailable {
			return raw, err
		}
		again()
		select {
		case <-time.After(retryWait + rand.N(retryWait)):
		case <-ctx.Done():
			return nil, fmt.Errorf("%s %s: %w; last: %w", method, path, ctx.Err(), err)
		}
	}
}

func (c *client) get(ctx context.Context, path string, into any) error {
	raw, err := c.ask(ctx, http.MethodGet, path, nil, "", func() {})
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// place places an order, either as an order or as a run, until it is accepted, and returns its run.
func (c *client) place(ctx context.Context, n int, k *kind, asRun bool, key string, again func()) (run string, err error) {
	path, body := "/v1/orders", k.input(n)
	if asRun {
		path, body = "/v1/runs", map[string]any{"workflow": "ecommerce/process_order", "input": body, "profiles": k.profiles()}
	}
	raw, err := c.ask(ctx, http.MethodPost, path, body, key, again)
	if err != nil {
		return "", err
	}
	var placed struct {
		ID    string `json:"id"`
		RunID string `json:"run_id"`
	}
	if err := json.Unmarshal(raw, &placed); err != nil {
		return "", err
	}
	return placed.ID + placed.RunID, nil
}

// ended counts the runs that have ended.
func (c *client) ended(ctx context.Context) (n int, err error) {
	var status struct {
		Runs map[dag.RunState]int `json:"runs"`
	}
	err = c.get(ctx, "/v1/status", &status)
	for state, runs := range status.Runs {
		if state.Ended() {
			n += runs
		}
	}
	return n, err
}

// run reads a run, without its log. known is false when the API does not know it.
func (c *client) run(ctx context.Context, id string) (run chaos.Run, known bool, err error) {
	var body struct {
		State dag.RunState `json:"state"`
		Steps []struct {
			Name     string        `json:"name"`
			State    dag.StepState `json:"state"`
			Attempts int           `json:"attempts"`
			Crashes  int           `json:"crashes"`
			Error    struct {
				Code string `json:"code"`
			} `json:"error"`
		} `json:"steps"`
	}
	if known, err = c.look(ctx, "/v1/runs/"+id, &body); err != nil || !known {
		return run, false, err
	}
	run = chaos.Run{ID: id, State: body.State}
	for _, s := range body.Steps {
		run.Steps = append(run.Steps, chaos.Step{Name: s.Name, State: s.State, Code: s.Error.Code, Attempts: s.Attempts, Crashes: s.Crashes})
	}
	return run, true, nil
}

// look is get for what may not be there.
func (c *client) look(ctx context.Context, path string, into any) (there bool, err error) {
	raw, err := c.ask(ctx, http.MethodGet, path, nil, "", func() {})
	if r, is := err.(*refusal); is && r.status == http.StatusNotFound { //nolint:errorlint // ask does not wrap it
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, json.Unmarshal(raw, into)
}

// log reads a run's log.
func (c *client) log(ctx context.Context, id string) ([]chaos.Event, error) {
	var body struct {
		Log []struct {
			At     time.Time `json:"at"`
			Event  string    `json:"event"`
			Step   string    `json:"step"`
			Worker string    `json:"worker"`
		} `json:"log"`
	}
	if err := c.get(ctx, "/v1/runs/"+id+"/log", &body); err != nil {
		return nil, err
	}
	log := make([]chaos.Event, len(body.Log))
	for i, e := range body.Log {
		log[i] = chaos.Event{Name: e.Event, Step: e.Step, Worker: processOf(e.Worker), At: e.At}
	}
	return log, nil
}

// letters reads all dead letters.
func (c *client) letters(ctx context.Context) ([]chaos.Letter, error) {
	var all []chaos.Letter
	for cursor := ""; ; {
		var page struct {
			Letters []struct {
				Run  string `json:"run_id"`
				Step string `json:"step"`
			} `json:"dead_letters"`
			Next string `json:"next_cursor"`
		}
		if err := c.get(ctx, "/v1/dead-letters?limit=100&cursor="+cursor, &page); err != nil {
			return nil, err
		}
		all = slices.Grow(all, len(page.Letters))
		for _, l := range page.Letters {
			all = append(all, chaos.Letter{Run: l.Run, Step: l.Step})
		}
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// release lets the gateway go on with what it holds, time and again, until ctx ends.
func (c *client) release(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		_, _, _ = c.once(ctx, http.MethodPost, c.gateway+"/v1/sim/release", nil, "") // the next one does it
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
