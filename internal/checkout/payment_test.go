package checkout_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/gatewaysim"
)

// startGateway serves the simulator and returns its URL and its ledger.
func startGateway(t *testing.T) (baseURL, ledger string) {
	t.Helper()
	ledger = filepath.Join(t.TempDir(), "ledger.jsonl")
	g, err := gatewaysim.New(gatewaysim.Config{LedgerPath: ledger})
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
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String(), ledger
}

func client(t *testing.T, baseURL string, cfg checkout.PaymentConfig) *checkout.PaymentClient {
	t.Helper()
	c, err := checkout.NewPaymentClient(baseURL, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func chargeOf(key, token string) checkout.ChargeRequest {
	return checkout.ChargeRequest{
		Key: key, Amount: checkout.Cents(12476), Currency: "USD", Method: "credit_card", Token: checkout.Token(token),
		Metadata: checkout.ChargeMetadata{Run: "run_00_A", Step: "process_payment"},
	}
}

func TestPaymentWithTheGateway(t *testing.T) {
	t.Parallel()
	baseURL, ledger := startGateway(t)
	c := client(t, baseURL, checkout.PaymentConfig{})
	for _, tc := range []struct {
		token string
		want  []verdict // of one call after the other
	}{
		{"test_success_visa_4242424242424242", []verdict{{}, {}}},
		{"test_insufficient_funds", []verdict{
			{Code: "PAYMENT_DECLINED", Message: "Payment declined: Your card was declined. Your card's limit was exceeded.", Refused: true},
			{Code: "PAYMENT_DECLINED", Message: "Payment declined: Your card was declined. Your card's limit was exceeded.", Refused: true},
		}},
		{"test_invalid_card", []verdict{{Code: "PAYMENT_DECLINED", Message: "Payment declined: Your card number is incorrect.", Refused: true}}},
		{"test_timeout_slow_gateway", []verdict{{Code: "GATEWAY_TIMEOUT", Message: "Payment gateway timed out after 30 seconds", Retryable: true}}},
		{"test_rate_limit_x", []verdict{{Code: "RATE_LIMITED", Message: "Too many requests. Please try again in a moment.", Retryable: true, After: 30 * time.Second}}},
		{"test_temp_fail_network", []verdict{
			{Code: "TEMPORARY_FAILURE", Message: "Temporary payment processing error. Please try again.", Retryable: true},
			{Code: "TEMPORARY_FAILURE", Message: "Temporary payment processing error. Please try again.", Retryable: true},
			{},
		}},
	} {
		t.Run(tc.token, func(t *testing.T) {
			t.Parallel()
			r := chargeOf("run:"+tc.token, tc.token)
			var charge checkout.Charge
			for i, want := range tc.want {
				var err error
				charge, err = c.Charge(t.Context(), r)
				if diff := cmp.Diff(want, verdictOf(err)); diff != "" {
					t.Fatalf("call %d: %s", i+1, diff)
				}
			}
			found, ok, err := c.Lookup(t.Context(), r.Key)
			if charged := tc.want[len(tc.want)-1].Code == ""; err != nil || ok != charged {
				t.Fatalf("look-up: %t, %v", ok, err)
			}
			if diff := cmp.Diff(charge, found); diff != "" {
				t.Errorf("look-up and charge differ: %s", diff)
			}
		})
	}
	t.Cleanup(func() {
		books, err := gatewaysim.ReadLedger(ledger)
		if err != nil || len(books.Charges) != 2 {
			t.Errorf("%d charges, %v; want 2", len(books.Charges), err)
		}
	})
}

// The reply to the charge is lost. The next attempt finds the charge and does not make a second one.
func TestLostReplyIsChargedOnce(t *testing.T) {
	t.Parallel()
	baseURL, ledger := startGateway(t)
	c := client(t, baseURL, checkout.PaymentConfig{})
	// A connection that was used before is what net/http would send the request on again by itself.
	if _, ok, err := c.Lookup(t.Context(), "warm"); ok || err != nil {
		t.Fatal(ok, err)
	}
	f := fakes{}
	f.lookup = func(key string) (checkout.Charge, bool, error) { return c.Lookup(t.Context(), key) }
	f.charge = func(r checkout.ChargeRequest) (checkout.Charge, error) { return c.Charge(t.Context(), r) }
	reg := f.registry()
	a := attempt{step: "process_payment", input: request(`[]`, "124.76", "test_lost_reply_visa"), outputs: goodOutputs}
	_, err := a.call(t.Context(), reg)
	if got := verdictOf(err); got.Code != "PAYMENT_NETWORK" || !got.Retryable {
		t.Fatalf("first attempt: %+v, want a failure that the engine sees", got)
	}
	a.number = 2
	out, err := a.call(t.Context(), reg)
	if err != nil || decode[checkout.Payment](t, out).PaymentID == "" {
		t.Fatalf("second attempt: %s, %v", out, err)
	}
	books, err := gatewaysim.ReadLedger(ledger)
	if err != nil || len(books.Charges) != 1 || len(books.Calls) != 1 {
		t.Errorf("%+v, %v; want one call and one charge", books, err)
	}
}

// The control: a request that net/http may repeat is repeated without anybody hearing of it.
func TestLostReplyWouldBeHidden(t *testing.T) {
	t.Parallel()
	baseURL, ledger := startGateway(t)
	warm := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(warm.CloseIdleConnections)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		body, err := json.Marshal(chargeOf("k", "test_lost_reply_visa"))
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), method, baseURL+"/v1/charges", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "k")
		res, err := warm.Do(req)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %+v, %v", method, res, err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
	}
	books, err := gatewaysim.ReadLedger(ledger)
	if err != nil || len(books.Calls) != 2 {
		t.Errorf("%+v, %v; want two calls, of which the client saw one", books.Calls, err)
	}
}

func TestPaymentAnswersAreSorted(t *testing.T) {
	t.Parallel()
	body := func(kind, code, message string) string {
		return fmt.Sprintf(`{"error":{"type":%q,"code":%q,"message":%q}}`, kind, code, message)
	}
	for name, tc := range map[string]struct {
		status int
		after  string // Retry-After
		body   string
		want   verdict
	}{
		"declined":               {402, "", body("card_error", "card_declined", "No."), verdict{Code: "PAYMENT_DECLINED", Message: "Payment declined: No.", Refused: true}},
		"rate limit":             {429, "", body("rate_limit_error", "rate_limited", "Slow."), verdict{Code: "RATE_LIMITED", Message: "Slow.", Retryable: true, After: 30 * time.Second}},
		"rate limit, told":       {429, "7", body("rate_limit_error", "rate_limited", "Slow."), verdict{Code: "RATE_LIMITED", Message: "Slow.", Retryable: true, After: 7 * time.Second}},
		"unavailable, told when": {503, "Sat, 14 Mar 2026 12:00:20 GMT", body("api_error", "service_unavailable", "Away."), verdict{Code: "SERVICE_UNAVAILABLE", Message: "Away.", Retryable: true, After: 20 * time.Second}},
		"network":                {502, "", body("api_error", "network", "Cut."), verdict{Code: "NETWORK", Message: "Cut.", Retryable: true}},
		"authentication":         {401, "", body("authentication_error", "authentication_failed", "Who?"), verdict{Code: "AUTHENTICATION_FAILED", Message: "Who?"}},
		"malformed":              {400, "", body("invalid_request_error", "malformed_request", "What?"), verdict{Code: "MALFORMED_REQUEST", Message: "What?"}},
		"key reused":             {409, "", body("idempotency_error", "idempotency_key_reused", "Again?"), verdict{Code: "IDEMPOTENCY_KEY_REUSED", Message: "Again?"}},
		"unknown":                {402, "", body("card_error", "moon_phase", "Wait."), verdict{Code: "MOON_PHASE", Message: "Wait.", Retryable: true}},
		"repeats the token":      {400, "", body("invalid_request_error", "bad_token", "tok_secret is bad"), verdict{Code: "BAD_TOKEN", Message: "[token] is bad"}},
		"not the gateway":        {502, "", "<html>", verdict{Code: "PAYMENT_ERROR", Message: "the payment gateway answered 502 Bad Gateway", Retryable: true}},
		"not the gateway, 403":   {403, "", "<html>", verdict{Code: "AUTHENTICATION_FAILED", Message: "the payment gateway answered 403 Forbidden"}},
		"not the gateway, 429":   {429, "", "", verdict{Code: "RATE_LIMITED", Message: "the payment gateway answered 429 Too Many Requests", Retryable: true, After: 30 * time.Second}},
		"not the gateway, 504":   {504, "", "", verdict{Code: "GATEWAY_TIMEOUT", Message: "the payment gateway answered 504 Gateway Timeout", Retryable: true}},
		"redirect":               {307, "", "", verdict{Code: "PAYMENT_ERROR", Message: "the payment gateway answered 307 Temporary Redirect", Retryable: true}},
		"no charge":              {200, "", "<html>", verdict{Code: "PAYMENT_ERROR", Message: "read the payment gateway's answer: invalid character '<' looking for beginning of value", Retryable: true}},
		"endless":                {200, "", strings.Repeat(" ", 300<<10), verdict{Code: "PAYMENT_ERROR", Message: "the payment gateway's answer is larger than 262144 bytes", Retryable: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Idempotency-Key") != "k" || r.Header.Get("Content-Type") != "application/json" || r.URL.Path != "/pay/v1/charges" {
					t.Errorf("%s with %v", r.URL, r.Header)
				}
				if tc.after != "" {
					w.Header().Set("Retry-After", tc.after)
				}
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			}))
			t.Cleanup(srv.Close)
			_, err := client(t, srv.URL+"/pay", checkout.PaymentConfig{Now: noon}).Charge(t.Context(), chargeOf("k", "tok_secret"))
			if diff := cmp.Diff(tc.want, verdictOf(err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPaymentTimeLimits(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	var calls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1); <-end }))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(end) })
	_, err := client(t, srv.URL, checkout.PaymentConfig{AnswerTimeout: 20 * time.Millisecond}).Charge(t.Context(), chargeOf("k", "tok_secret"))
	if got := verdictOf(err); got.Code != "PAYMENT_NETWORK" || !got.Retryable || strings.Contains(got.Message, "tok_secret") {
		t.Errorf("gateway that does not answer: %+v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = client(t, srv.URL, checkout.PaymentConfig{}).Charge(ctx, chargeOf("k", "tok_secret"))
	if got := verdictOf(err); got.Code != "PAYMENT_NETWORK" || !got.Retryable {
		t.Errorf("step that ends: %+v", got)
	}
	if n := calls.Load(); n > 2 { // fewer when the limit passed before the call arrived
		t.Errorf("%d calls, want at most one each", n)
	}
	_, _, err = client(t, "http://127.0.0.1:1", checkout.PaymentConfig{}).Lookup(t.Context(), "k")
	if got := verdictOf(err); got.Code != "PAYMENT_NETWORK" || !got.Retryable {
		t.Errorf("nobody there: %+v", got)
	}
}

func TestPaymentClientRefusesBadAddresses(t *testing.T) {
	t.Parallel()
	for _, baseURL := range []string{"", "127.0.0.1:8090", "ftp://host", "http://", "http://u:s3cret@host", "http://host?x=1"} {
		_, err := checkout.NewPaymentClient(baseURL, checkout.PaymentConfig{})
		if err == nil || !strings.Contains(err.Error(), "http://HOST:PORT") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", baseURL, err)
		}
	}
	if _, err := checkout.NewPaymentClient("http://host", checkout.PaymentConfig{AnswerTimeout: -1}); err == nil {
		t.Error("a negative time limit was accepted")
	}
}
