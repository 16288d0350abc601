package gatewaysim_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"github.com/stepwell/stepwell/internal/gatewaysim"
)

func TestTokensDecideTheOutcome(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{RetryAfter: 1500 * time.Millisecond})
	for _, tc := range []struct {
		token    string
		statuses []int
		code     string // of the first reply
		brand    string // of the charge
		outcomes []string
	}{
		{"test_success_visa_4242424242424242", []int{200, 200}, "", "visa", []string{"charged", "replayed"}},
		{"test_success_mastercard", []int{200}, "", "mastercard", []string{"charged"}},
		{"test_success_amex", []int{200}, "", "amex", []string{"charged"}},
		{"test_insufficient_funds", []int{402, 402}, "insufficient_funds", "", []string{"insufficient_funds", "replayed"}},
		{"test_invalid_card", []int{402, 402}, "invalid_card", "", []string{"invalid_card", "replayed"}},
		{"test_timeout_slow_gateway", []int{504, 504, 504}, "gateway_timeout", "", []string{"gateway_timeout", "gateway_timeout", "gateway_timeout"}},
		{"test_rate_limit_x", []int{429, 429}, "rate_limited", "", []string{"rate_limited", "rate_limited"}},
		{"test_temp_fail_network", []int{502, 502, 200, 200}, "temporary_failure", "", []string{"temporary_failure", "temporary_failure", "charged", "replayed"}},
	} {
		t.Run(tc.token, func(t *testing.T) {
			t.Parallel()
			key := "run_00_A:" + tc.token
			for i, want := range tc.statuses {
				r := s.charge(t, key, tc.token)
				if r.Status != want {
					t.Fatalf("call %d: status %d %s, want %d", i+1, r.Status, r.Body, want)
				}
				if i == 0 && tc.code != "" {
					if p := r.problem(t); p.Code != tc.code || p.Message == "" || p.Type == "" {
						t.Errorf("problem %+v, want code %s", p, tc.code)
					}
				}
				if replayed := r.Header.Get("Idempotent-Replayed") == "true"; replayed != (tc.outcomes[i] == "replayed") {
					t.Errorf("call %d: replayed %t", i+1, replayed)
				}
			}
			charged := tc.statuses[len(tc.statuses)-1] == http.StatusOK
			want := gatewaysim.KeyCalls{Key: key, Calls: len(tc.statuses), Charged: charged, Outcomes: tc.outcomes}
			if diff := cmp.Diff(want, s.calls(t, key)); diff != "" {
				t.Error(diff)
			}
			charges := s.charges(t, key)
			if n := len(charges); n != 0 != charged || n > 1 {
				t.Fatalf("%d charges, charged is %t", n, charged)
			}
			if charged && charges[0].Brand != tc.brand {
				t.Errorf("brand %q, want %q", charges[0].Brand, tc.brand)
			}
		})
	}
}

func TestDeclineAndRateLimitTexts(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{RetryAfter: 1500 * time.Millisecond})
	want := problem{Type: "card_error", Code: "insufficient_funds", Message: "Your card was declined. Your card's limit was exceeded."}
	if diff := cmp.Diff(want, s.charge(t, "a", "test_insufficient_funds").problem(t)); diff != "" {
		t.Error(diff)
	}
	r := s.charge(t, "b", "test_rate_limit_x")
	want = problem{Type: "rate_limit_error", Code: "rate_limited", Message: "Too many requests. Please try again in a moment.", RetryAfter: 2}
	if diff := cmp.Diff(want, r.problem(t)); diff != "" {
		t.Error(diff)
	}
	if got := r.Header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2: whole seconds, rounded up", got)
	}
}

func TestChargeRecord(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 10, 0, 0, 123456789, time.UTC)
	s := start(t, gatewaysim.Config{Now: func() time.Time { return now }})
	r := s.call(t, http.MethodPost, "/v1/charges", "k", body("124.7", "test_success_visa"))
	if !strings.Contains(string(r.Body), `"amount":124.70,`) {
		t.Errorf("amount is no number with two decimals: %s", r.Body)
	}
	got := decode[gatewaysim.Charge](t, r)
	if !strings.HasPrefix(got.ID, "ch_") || !strings.HasPrefix(got.TransactionID, "txn_") {
		t.Errorf("IDs %s and %s", got.ID, got.TransactionID)
	}
	want := gatewaysim.Charge{
		ID: got.ID, Key: "k", Amount: gatewaysim.Money{Decimal: decimal.RequireFromString("124.70")}, Currency: "USD", Method: "credit_card",
		Brand: "visa", TransactionID: got.TransactionID, Status: "succeeded", Run: "run_00_A", Step: "process_payment",
		CreatedAt: now.Truncate(time.Millisecond),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	l, err := gatewaysim.ReadLedger(s.ledger)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]gatewaysim.Charge{want}, l.Charges); diff != "" {
		t.Error("the ledger, read while the gateway runs:", diff)
	}
}

func TestKeyUsedAgainWithAnotherBody(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{})
	s.charge(t, "k", "test_success_visa")
	for _, other := range []string{body("124.75", "test_success_visa"), body("124.76", "test_success_amex")} {
		r := s.call(t, http.MethodPost, "/v1/charges", "k", other)
		if p := r.problem(t); r.Status != http.StatusConflict || p.Code != "idempotency_key_reused" {
			t.Errorf("status %d, problem %+v", r.Status, p)
		}
	}
	same := `{"currency":"usd", "method":"credit_card", "token":"test_success_visa", "metadata":{"step":"process_payment","run":"run_00_A"}, "amount":124.76}`
	if r := s.call(t, http.MethodPost, "/v1/charges", "k", same); r.Status != http.StatusOK {
		t.Errorf("the same request, written otherwise: %d %s", r.Status, r.Body)
	}
}

func TestOneKeyConcurrently(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{})
	const callers = 50
	ids := make(chan string, callers)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			r, err := s.do(t.Context(), http.MethodPost, "/v1/charges", "k", body("10", "test_success_visa"))
			if err != nil || r.Status != http.StatusOK {
				t.Errorf("status %d, error %v", r.Status, err)
				return
			}
			ids <- decode[gatewaysim.Charge](t, r).ID
		})
	}
	wg.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Errorf("charge %s beside %s", id, first)
		}
	}
	if n := len(s.charges(t, "")); n != 1 {
		t.Errorf("%d charges, want 1", n)
	}
	if n := s.calls(t, "k").Calls; n != callers {
		t.Errorf("%d calls counted, want %d", n, callers)
	}
}

func TestKeysAreApart(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{})
	for i := range 5 { // the negative control of TestOneKeyConcurrently
		s.charge(t, "k"+strconv.Itoa(i), "test_success_visa")
	}
	if n := len(s.charges(t, "")); n != 5 {
		t.Errorf("%d charges for 5 keys", n)
	}
}

func TestUnknownTokenMostlySucceeds(t *testing.T) {
	t.Parallel()
	const calls = 200
	run := func(seed uint64) (outcomes []string, charged int) {
		s := start(t, gatewaysim.Config{Seed: seed})
		for i := range calls {
			key := "k" + strconv.Itoa(i)
			s.charge(t, key, "tok_anything")
			c := s.calls(t, key)
			outcomes = append(outcomes, c.Outcomes...)
			if c.Charged {
				charged++
			}
		}
		return outcomes, charged
	}
	first, charged := run(7)
	if charged < calls*88/100 || charged == calls {
		t.Errorf("%d of %d charged, want about 95 %%", charged, calls)
	}
	if again, _ := run(7); !cmp.Equal(first, again) {
		t.Error("the same seed gave other outcomes")
	}
	if other, _ := run(8); cmp.Equal(first, other) {
		t.Error("another seed gave the same outcomes")
	}
}

func TestLostReply(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{})
	if r, err := s.do(t.Context(), http.MethodPost, "/v1/charges", "k", body("23.26", "test_lost_reply_visa")); err == nil {
		t.Fatalf("the first call was answered: %d %s", r.Status, r.Body)
	}
	charges := s.charges(t, "k")
	if len(charges) != 1 {
		t.Fatalf("%d charges after the lost reply, want 1", len(charges))
	}
	r := s.call(t, http.MethodPost, "/v1/charges", "k", body("23.26", "test_lost_reply_visa"))
	if got := decode[gatewaysim.Charge](t, r); r.Status != http.StatusOK || got.ID != charges[0].ID {
		t.Errorf("second call: %d %s, want charge %s", r.Status, r.Body, charges[0].ID)
	}
	if diff := cmp.Diff([]string{"lost_reply", "replayed"}, s.calls(t, "k").Outcomes); diff != "" {
		t.Error(diff)
	}
}
