package gatewaysim_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepwell/stepwell/internal/gatewaysim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sim is a gateway served on a free port.
type sim struct {
	gateway *gatewaysim.Gateway
	url     string
	ledger  string
	client  *http.Client
	stop    func() // ends Run and closes the gateway; may be called twice
}

// start opens a gateway; an empty LedgerPath means a new file.
func start(t *testing.T, cfg gatewaysim.Config) *sim {
	t.Helper()
	if cfg.LedgerPath == "" {
		cfg.LedgerPath = filepath.Join(t.TempDir(), "ledger.jsonl")
	}
	g, err := gatewaysim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- g.Run(ctx, l) }()
	s := &sim{
		gateway: g, url: "http://" + l.Addr().String(), ledger: cfg.LedgerPath,
		// Without keep-alive net/http does not send a POST again by itself when its connection is dropped.
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second},
	}
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(s.stop)
	return s
}

// reply is what the gateway answered.
type reply struct {
	Status int
	Header http.Header
	Body   []byte
}

type problem struct {
	Type       string
	Code       string
	Message    string
	Param      string
	RetryAfter int `json:"retry_after"`
}

func (r reply) problem(t *testing.T) problem {
	t.Helper()
	return decode[struct{ Error problem }](t, r).Error
}

func decode[T any](t *testing.T, r reply) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(r.Body, &v); err != nil {
		t.Fatalf("reply %d %s: %v", r.Status, r.Body, err)
	}
	return v
}

func (s *sim) do(ctx context.Context, method, path, key, body string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return reply{Status: res.StatusCode, Header: res.Header, Body: text}, err
}

func (s *sim) call(t *testing.T, method, path, key, body string) reply {
	t.Helper()
	r, err := s.do(t.Context(), method, path, key, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (s *sim) charge(t *testing.T, key, token string) reply {
	t.Helper()
	return s.call(t, http.MethodPost, "/v1/charges", key, body("124.76", token))
}

func body(amount, token string) string {
	return `{"amount":` + amount + `,"currency":"USD","method":"credit_card","token":"` + token + `","metadata":{"run":"run_00_A","step":"process_payment"}}`
}

func (s *sim) charges(t *testing.T, key string) []gatewaysim.Charge {
	t.Helper()
	return decode[struct{ Data []gatewaysim.Charge }](t, s.call(t, http.MethodGet, "/v1/charges?key="+key, "", "")).Data
}

func (s *sim) calls(t *testing.T, key string) gatewaysim.KeyCalls {
	t.Helper()
	data := decode[struct{ Data []gatewaysim.KeyCalls }](t, s.call(t, http.MethodGet, "/v1/sim/calls?key="+key, "", "")).Data
	if len(data) != 1 {
		t.Fatalf("calls of %s: %v, want one entry", key, data)
	}
	return data[0]
}

// eventually polls until ok or the deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
