package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// callLimit bounds one call of the API or the gateway. A release of held charges answers when they are in the books.
const callLimit = 5 * time.Second

// Run is what the demo reads of a run.
type Run struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Steps    []StepRun `json:"steps"`
	Deadline string    `json:"deadline"`
}

// StepRun is what the demo reads of a step.
type StepRun struct {
	Name        string     `json:"name"`
	State       string     `json:"state"`
	Queue       string     `json:"queue"`
	Attempts    int        `json:"attempts"`
	Failures    int        `json:"failures"`
	Crashes     int        `json:"crashes"`
	MaxAttempts int        `json:"max_attempts"`
	Error       *StepError `json:"error"`
	Worker      string     `json:"worker"`
	NextRetryAt time.Time  `json:"next_retry_at"`
}

// StepError is why a step failed.
type StepError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Step returns the step of that name; a run that has none is a zero StepRun.
func (r *Run) Step(name string) StepRun {
	for _, s := range r.Steps {
		if s.Name == name {
			return s
		}
	}
	return StepRun{}
}

// Client talks to the API and to the gateway as any other service would.
type Client struct {
	API     string // base URL
	Gateway string // base URL
	HTTP    http.Client
}

// PlaceOrder posts an order and returns its run's ID.
func (c *Client) PlaceOrder(ctx context.Context, key string, body any) (string, error) {
	var placed struct {
		RunID string `json:"run_id"`
	}
	err := c.call(ctx, http.MethodPost, c.API+"/v1/orders", body, &placed, "Idempotency-Key", key)
	return placed.RunID, err
}

// RetryOrder retries a failed order from its failed step.
func (c *Client) RetryOrder(ctx context.Context, run, reason string) error {
	return c.call(ctx, http.MethodPost, c.API+"/v1/orders/"+run+"/retry", map[string]string{"reason": reason}, nil)
}

// Run reads a run.
func (c *Client) Run(ctx context.Context, id string) (Run, error) {
	var r Run
	err := c.call(ctx, http.MethodGet, c.API+"/v1/runs/"+id, nil, &r)
	return r, err
}

// DeadLetters counts the dead letters by run.
func (c *Client) DeadLetters(ctx context.Context) (map[string]string, error) {
	var page struct {
		Letters []struct {
			Run  string `json:"run_id"`
			Step string `json:"step"`
		} `json:"dead_letters"`
	}
	err := c.call(ctx, http.MethodGet, c.API+"/v1/dead-letters?limit=100", nil, &page)
	byRun := make(map[string]string, len(page.Letters))
	for _, l := range page.Letters {
		byRun[l.Run] = l.Step
	}
	return byRun, err
}

// Held tells whether the gateway holds a charge under the key right now.
func (c *Client) Held(ctx context.Context, key string) (bool, error) {
	var calls struct {
		Data []struct {
			Held bool `json:"held"`
		} `json:"data"`
	}
	err := c.call(ctx, http.MethodGet, c.Gateway+"/v1/sim/calls?key="+url.QueryEscape(key), nil, &calls)
	return len(calls.Data) > 0 && calls.Data[0].Held, err
}

// Release lets the gateway go on with every charge that it holds; it returns when they are in its books.
func (c *Client) Release(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, c.Gateway+"/v1/sim/release", nil, nil)
}

func (c *Client) call(ctx context.Context, method, target string, body, answer any, header ...string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var payload io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, target, err)
		}
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, payload)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, target, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return err // says method and URL already
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxMail))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, target, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, target, resp.Status, raw)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, target, err)
	}
	return nil
}
