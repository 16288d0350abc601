package gatewaysim_test

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stepwell/stepwell/internal/gatewaysim"
)

func (s *sim) refund(t *testing.T, key, body string) reply {
	t.Helper()
	return s.call(t, http.MethodPost, "/v1/refunds", key, body)
}

func TestRefundsDoNotExceedTheCharge(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{})
	id := decode[gatewaysim.Charge](t, s.charge(t, "k", "test_success_visa")).ID
	for i, step := range []struct {
		key, body string
		status    int
		code      string
		amount    string
	}{
		{"r1", `{"charge":"` + id + `","amount":100.00}`, 200, "", "100.00"},
		{"r1", `{"charge":"` + id + `","amount":100}`, 200, "", "100.00"}, // again: the same refund
		{"r1", `{"charge":"` + id + `","amount":1}`, 409, "idempotency_key_reused", ""},
		{"r2", `{"charge":"` + id + `","amount":24.77}`, 400, "refund_exceeds_charge", ""},
		{"r3", `{"charge":"` + id + `","metadata":{"run":"run_00_A","step":"undo"}}`, 200, "", "24.76"}, // what is left
		{"r4", `{"charge":"` + id + `"}`, 400, "refund_exceeds_charge", ""},
		{"r3", `{"charge":"` + id + `","metadata":{"run":"run_00_A","step":"undo"}}`, 200, "", "24.76"},
		{"r5", `{"charge":"ch_none"}`, 404, "charge_not_found", ""},
		{"r6", `{"charge":"` + id + `","amount":-1}`, 400, "invalid_amount", ""},
		{"r7", `{}`, 400, "missing_charge", ""},
	} {
		r := s.refund(t, step.key, step.body)
		if r.Status != step.status {
			t.Errorf("%d: status %d %s, want %d", i, r.Status, r.Body, step.status)
			continue
		}
		if step.code != "" {
			if p := r.problem(t); p.Code != step.code {
				t.Errorf("%d: problem %+v, want code %s", i, p, step.code)
			}
			continue
		}
		if got := decode[gatewaysim.Refund](t, r); got.Amount.String() != step.amount || got.Charge != id {
			t.Errorf("%d: %+v, want %s of %s", i, got, step.amount, id)
		}
	}
	list := decode[struct{ Data []gatewaysim.Refund }](t, s.call(t, http.MethodGet, "/v1/refunds", "", "")).Data
	if len(list) != 2 || list[1].Step != "undo" {
		t.Errorf("refunds %+v, want r1 and r3", list)
	}
}

func TestConcurrentRefundsDoNotExceedTheCharge(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{})
	id := decode[gatewaysim.Charge](t, s.charge(t, "k", "test_success_visa")).ID // 124.76
	var wg sync.WaitGroup
	var granted atomic.Int32
	for i := range 20 {
		wg.Go(func() {
			r, err := s.do(t.Context(), http.MethodPost, "/v1/refunds", "r"+strconv.Itoa(i), `{"charge":"`+id+`","amount":30}`)
			if err == nil && r.Status == http.StatusOK {
				granted.Add(1)
			}
		})
	}
	wg.Wait()
	if n := granted.Load(); n != 4 {
		t.Errorf("%d refunds of 30.00 granted out of 124.76, want 4", n)
	}
}
