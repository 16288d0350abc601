package gatewaysim_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/gatewaysim"
)

func TestRestartChangesNoOutcome(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	// Every call goes to a gateway of its own on the same ledger.
	fresh := func(f func(s *sim)) {
		s := start(t, gatewaysim.Config{LedgerPath: path})
		f(s)
		s.stop()
	}
	status := func(key, token string, want int) (r reply) {
		fresh(func(s *sim) { r = s.charge(t, key, token) })
		if r.Status != want {
			t.Errorf("%s: %d %s, want %d", key, r.Status, r.Body, want)
		}
		return r
	}
	first := status("charged", "test_success_visa", 200)
	if again := status("charged", "test_success_visa", 200); !bytes.Equal(first.Body, again.Body) {
		t.Errorf("another answer after the restart:\n%s%s", first.Body, again.Body)
	}
	status("charged", "test_success_amex", 409)
	status("declined", "test_insufficient_funds", 402)
	if r := status("declined", "test_insufficient_funds", 402); r.Header.Get("Idempotent-Replayed") != "true" {
		t.Error("the decline was decided again")
	}
	for _, want := range []int{502, 502, 200, 200} {
		status("temp", "test_temp_fail_network", want)
	}
	fresh(func(s *sim) {
		if _, err := s.do(t.Context(), http.MethodPost, "/v1/charges", "lost", body("124.76", "test_lost_reply_visa")); err == nil {
			t.Error("the first reply was not lost")
		}
	})
	status("lost", "test_lost_reply_visa", 200)
	id := decode[gatewaysim.Charge](t, first).ID
	for _, want := range []int{200, 200} {
		fresh(func(s *sim) {
			if r := s.refund(t, "r", `{"charge":"`+id+`"}`); r.Status != want {
				t.Errorf("refund: %d %s", r.Status, r.Body)
			}
		})
	}
	l, err := gatewaysim.ReadLedger(path)
	if err != nil || len(l.Charges) != 3 || len(l.Refunds) != 1 || len(l.Calls) != 10 {
		t.Errorf("%d charges, %d refunds, %d calls, %v; want 3, 1, 10", len(l.Charges), len(l.Refunds), len(l.Calls), err)
	}
}

// written returns the content of a ledger with two charges.
func written(t *testing.T) []byte {
	t.Helper()
	s := start(t, gatewaysim.Config{})
	s.charge(t, "a", "test_success_visa")
	s.charge(t, "b", "test_success_visa")
	s.stop()
	text, err := os.ReadFile(s.ledger)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTornLastLine(t *testing.T) {
	t.Parallel()
	whole := written(t)
	for cut := 1; cut < 200; cut += 40 { // cut 1: the line feed alone is missing
		path := filepath.Join(t.TempDir(), "ledger.jsonl")
		if err := os.WriteFile(path, whole[:len(whole)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := gatewaysim.ReadLedger(path)
		if err != nil || len(l.Charges) != 1 {
			t.Fatalf("cut %d: read %d charges, %v; want 1", cut, len(l.Charges), err)
		}
		s := start(t, gatewaysim.Config{LedgerPath: path})
		if n := len(s.charges(t, "b")); n != 0 {
			t.Errorf("cut %d: the torn charge is there", cut)
		}
		s.charge(t, "b", "test_success_visa")
		s.stop()
		if l, err := gatewaysim.ReadLedger(path); err != nil || len(l.Charges) != 2 {
			t.Errorf("cut %d: after writing on: %d charges, %v; want 2", cut, len(l.Charges), err)
		}
	}
}

func TestCorruptLedgerNamesTheLine(t *testing.T) {
	t.Parallel()
	whole := string(written(t))
	lines := strings.SplitAfter(whole, "\n")
	for name, tc := range map[string]struct{ text, at, why string }{
		"broken line":   {lines[0][:20] + "\n" + lines[1], ":1 ", "unexpected EOF"},
		"empty line":    {lines[0] + "\n" + lines[1], ":2 ", "EOF"},
		"two values":    {lines[0] + "{} {}\n", ":2 ", "more than one"},
		"unknown field": {lines[0] + `{"kind":"call","colour":1}` + "\n", ":2 ", "colour"},
		"unknown kind":  {lines[0] + `{"kind":"x","key":"k","body":"b"}` + "\n", ":2 ", "unknown kind"},
		"second charge": {lines[0] + lines[1] + lines[0], ":3 ", "second charge for key a"},
		"lone refund": {
			`{"kind":"refund","key":"r","body":"b","refund":{"id":"re_1","key":"r","charge":"ch_x","amount":1.00}}` + "\n", ":1 ", "unknown charge",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ledger.jsonl")
			if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := gatewaysim.New(gatewaysim.Config{LedgerPath: path})
			if err == nil || !strings.Contains(err.Error(), path+tc.at) || !strings.Contains(err.Error(), tc.why) {
				t.Errorf("New: %v; want %s%s… %s", err, path, tc.at, tc.why)
			}
			if _, err := gatewaysim.ReadLedger(path); err == nil {
				t.Error("ReadLedger took it")
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != tc.text {
				t.Error("the corrupt file was changed")
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	for _, cfg := range []gatewaysim.Config{
		{},
		{LedgerPath: filepath.Join(t.TempDir(), "missing", "ledger.jsonl")},
		{LedgerPath: filepath.Join(t.TempDir(), "l"), HoldLimit: -1},
	} {
		if g, err := gatewaysim.New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
			_ = g.Close()
		}
	}
	if _, err := gatewaysim.ReadLedger(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestClosedGatewayPromisesNothing(t *testing.T) {
	t.Parallel()
	g, err := gatewaysim.New(gatewaysim.Config{LedgerPath: filepath.Join(t.TempDir(), "l")})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/v1/charges": http.StatusInternalServerError, "/healthz": http.StatusServiceUnavailable} {
		method := http.MethodPost
		if path == "/healthz" {
			method = http.MethodGet
		}
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body("1", "test_success_visa")))
		r.Header.Set("Idempotency-Key", "k")
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, want)
		}
	}
}

func TestTheTokenIsNotWritten(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{})
	s.charge(t, "k", "test_success_visa_4242424242424242")
	s.charge(t, "d", "test_insufficient_4000000000009995")
	text, err := os.ReadFile(s.ledger)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Contains(text, []byte("4242")) || bytes.Contains(text, []byte("9995")); got {
		t.Errorf("the ledger holds a token:\n%s", text)
	}
	if n := bytes.Count(text, []byte("\n")); n != 2 {
		t.Errorf("%d lines for two calls", n)
	}
	if diff := cmp.Diff(1, len(s.charges(t, ""))); diff != "" {
		t.Error(diff)
	}
}
