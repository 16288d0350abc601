package gatewaysim_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepwell/stepwell/internal/gatewaysim"
)

func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{})
	good := body("124.76", "test_success_visa")
	with := func(old, text string) string { return strings.Replace(good, old, text, 1) }
	for name, tc := range map[string]struct {
		method, path, key, body string
		status                  int
		code, says              string
	}{
		"no key":          {"POST", "/v1/charges", "", good, 400, "missing_idempotency_key", "Send an Idempotency-Key"},
		"long key":        {"POST", "/v1/charges", strings.Repeat("k", 256), good, 400, "invalid_idempotency_key", "1 to 255"},
		"key not ASCII":   {"POST", "/v1/charges", "schlüssel", good, 400, "invalid_idempotency_key", "printable ASCII"},
		"empty body":      {"POST", "/v1/charges", "k", "", 400, "malformed_request", "empty"},
		"no JSON":         {"POST", "/v1/charges", "k", "amount=1", 400, "malformed_request", "invalid character"},
		"more after it":   {"POST", "/v1/charges", "k", good + "{}", 400, "malformed_request", "more after"},
		"unknown field":   {"POST", "/v1/charges", "k", with(`"token"`, `"tokn"`), 400, "malformed_request", "tokn"},
		"amount string":   {"POST", "/v1/charges", "k", with(`124.76`, `"124.76"`), 400, "malformed_request", "two decimals"},
		"three decimals":  {"POST", "/v1/charges", "k", with(`124.76`, `124.765`), 400, "malformed_request", "two decimals"},
		"exponent":        {"POST", "/v1/charges", "k", with(`124.76`, `1e999999999`), 400, "malformed_request", "two decimals"},
		"no amount":       {"POST", "/v1/charges", "k", `{}`, 400, "missing_amount", "number with two decimals"},
		"amount 0":        {"POST", "/v1/charges", "k", with(`124.76`, `0.00`), 400, "invalid_amount", "at least 0.01"},
		"amount negative": {"POST", "/v1/charges", "k", with(`124.76`, `-5`), 400, "invalid_amount", "at least 0.01"},
		"amount huge":     {"POST", "/v1/charges", "k", with(`124.76`, `1000000`), 400, "invalid_amount", "at most"},
		"currency":        {"POST", "/v1/charges", "k", with(`USD`, `XYZ`), 400, "invalid_currency", "EUR"},
		"method":          {"POST", "/v1/charges", "k", with(`credit_card`, `cash`), 400, "invalid_method", "paypal"},
		"no token":        {"POST", "/v1/charges", "k", body("1", ""), 400, "missing_token", "token"},
		"long run":        {"POST", "/v1/charges", "k", with(`run_00_A`, strings.Repeat("r", 257)), 400, "invalid_metadata", "256"},
		"large body":      {"POST", "/v1/charges", "k", with(`run_00_A`, strings.Repeat("r", 65536)), 413, "body_too_large", "65536"},
		"nothing there":   {"GET", "/v1/orders", "", "", 404, "not_found", "/v1/charges"},
		"wrong verb":      {"DELETE", "/v1/charges", "", "", 405, "method_not_allowed", "Use "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := s.call(t, tc.method, tc.path, tc.key, tc.body)
			p := r.problem(t)
			if r.Status != tc.status || p.Code != tc.code || !strings.Contains(p.Message, tc.says) {
				t.Errorf("%d %+v, want %d %s …%s…", r.Status, p, tc.status, tc.code, tc.says)
			}
			if r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("content type %s", r.Header.Get("Content-Type"))
			}
		})
	}
	t.Cleanup(func() { // after the parallel subtests
		l, err := gatewaysim.ReadLedger(s.ledger)
		if err != nil || len(l.Calls) != 0 {
			t.Errorf("refused requests were counted: %+v, %v", l.Calls, err)
		}
	})
}

func TestAPIKey(t *testing.T) {
	t.Parallel()
	g, err := gatewaysim.New(gatewaysim.Config{LedgerPath: filepath.Join(t.TempDir(), "l"), APIKey: "sk_test_1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	for _, tc := range []struct {
		path, authorization string
		want                int
	}{
		{"/v1/charges", "", 401},
		{"/v1/charges", "Bearer sk_test_2", 401},
		{"/v1/charges", "Bearer sk_test_1", 200},
		{"/healthz", "", 200},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tc.path, nil)
		r.Header.Set("Authorization", tc.authorization)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("%s with %q: %d, want %d", tc.path, tc.authorization, w.Code, tc.want)
		}
	}
}
