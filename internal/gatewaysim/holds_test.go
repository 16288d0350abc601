package gatewaysim_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/gatewaysim"
)

const heldBody = "32.98"

type result struct {
	reply reply
	err   error
}

// hold begins a call that the gateway holds, and returns once it does.
func (s *sim) hold(ctx context.Context, t *testing.T, key string, calls int) <-chan result {
	t.Helper()
	done := make(chan result, 1)
	go func() {
		r, err := s.do(ctx, http.MethodPost, "/v1/charges", key, body(heldBody, "test_hold_visa"))
		done <- result{r, err}
	}()
	eventually(t, "the call is held", func() bool {
		data := decode[struct{ Data []gatewaysim.KeyCalls }](t, s.call(t, http.MethodGet, "/v1/sim/calls?key="+key, "", "")).Data
		return len(data) == 1 && data[0].Held && data[0].Calls == calls
	})
	return done
}

func TestHoldUntilRelease(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{})
	first := s.hold(t.Context(), t, "k", 1)
	second := s.hold(t.Context(), t, "k", 2)
	other := s.hold(t.Context(), t, "other", 1)
	if n := len(s.charges(t, "")); n != 0 {
		t.Fatalf("%d charges before the release", n)
	}
	if r := s.charge(t, "quick", "test_success_visa"); r.Status != http.StatusOK {
		t.Errorf("a held charge keeps others waiting: %d", r.Status)
	}
	if r := s.call(t, http.MethodPost, "/v1/charges", "k", body("1.00", "test_hold_visa")); r.Status != http.StatusConflict {
		t.Errorf("another body during the hold: %d, want 409", r.Status)
	}
	r := s.call(t, http.MethodPost, "/v1/sim/release?key=k", "", "")
	if got := string(r.Body); got != "{\"released\":1}\n" {
		t.Errorf("release: %s", got)
	}
	if n := len(s.charges(t, "k")); n != 1 {
		t.Errorf("%d charges when the release is answered, want 1", n)
	}
	a, b := <-first, <-second
	if a.err != nil || b.err != nil || a.reply.Status != http.StatusOK || !cmp.Equal(a.reply.Body, b.reply.Body) {
		t.Errorf("answers %v %s and %v %s, want the same charge", a.err, a.reply.Body, b.err, b.reply.Body)
	}
	if n := len(s.charges(t, "other")); n != 0 {
		t.Error("the other key was released too")
	}
	s.call(t, http.MethodPost, "/v1/sim/release", "", "")
	if o := <-other; o.err != nil || o.reply.Status != http.StatusOK {
		t.Errorf("other key: %v %d", o.err, o.reply.Status)
	}
}

func TestHoldGoesOnWithoutItsClient(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	gone := s.hold(ctx, t, "k", 1)
	cancel()
	if r := <-gone; !errors.Is(r.err, context.Canceled) {
		t.Fatalf("the client is not gone: %v", r.err)
	}
	if n := len(s.charges(t, "k")); n != 0 {
		t.Fatalf("%d charges before the release", n)
	}
	s.call(t, http.MethodPost, "/v1/sim/release", "", "")
	if n := len(s.charges(t, "k")); n != 1 {
		t.Fatalf("%d charges after the release, want 1", n)
	}
	r := s.call(t, http.MethodPost, "/v1/charges", "k", body(heldBody, "test_hold_visa"))
	if r.Status != http.StatusOK || r.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the next call: %d %s, want the charge again", r.Status, r.Body)
	}
}

func TestHoldLimit(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{HoldLimit: 30 * time.Millisecond})
	r := s.call(t, http.MethodPost, "/v1/charges", "k", body(heldBody, "test_hold_visa"))
	if r.Status != http.StatusOK {
		t.Errorf("after the limit: %d %s", r.Status, r.Body)
	}
	if diff := cmp.Diff([]string{"held"}, s.calls(t, "k").Outcomes); diff != "" {
		t.Error(diff)
	}
}

func TestShutdownEndsHolds(t *testing.T) {
	t.Parallel()
	s := start(t, gatewaysim.Config{})
	held := s.hold(t.Context(), t, "k", 1)
	s.stop()
	if r := <-held; r.err != nil || r.reply.Status != http.StatusOK {
		t.Errorf("the held call: %v %d, want an answer before the end", r.err, r.reply.Status)
	}
	l, err := gatewaysim.ReadLedger(s.ledger)
	if err != nil || len(l.Charges) != 1 {
		t.Errorf("ledger %+v, %v; want one charge", l, err)
	}
}

// Run relies on net/http lifting the read time-out once a body is read.
func TestHoldOutlastsTheReadTimeout(t *testing.T) {
	t.Parallel()
	g, err := gatewaysim.New(gatewaysim.Config{LedgerPath: filepath.Join(t.TempDir(), "l"), HoldLimit: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	srv := httptest.NewUnstartedServer(g)
	srv.Config.ReadTimeout = 100 * time.Millisecond
	srv.Start()
	t.Cleanup(srv.Close)
	s := &sim{gateway: g, url: srv.URL, client: srv.Client()}
	r := s.call(t, http.MethodPost, "/v1/charges", "k", body(heldBody, "test_hold_visa"))
	if c := decode[gatewaysim.Charge](t, r); r.Status != http.StatusOK || c.Key != "k" {
		t.Errorf("%d %s, want the charge", r.Status, r.Body)
	}
}
