package gatewaysim

import (
	"log/slog"
	"net/http"
)

// answer is how a call to POST /v1/charges ends: exactly one of failure, charge and hold is set.
type answer struct {
	failure  *failure
	charge   *Charge
	hold     *hold // the answer comes when it is done
	replayed bool
	drop     bool // charged, but the client is not to hear of it
}

func (g *Gateway) postCharge(w http.ResponseWriter, r *http.Request) {
	var req chargeRequest
	key, bad := readRequest(w, r, &req)
	if bad == nil {
		bad = req.check()
	}
	if bad != nil {
		writeFailure(w, bad)
		return
	}
	ans := g.charge(key, &req)
	if ans.hold != nil {
		select {
		case <-ans.hold.done:
			ans = ans.hold.answer
		case <-r.Context().Done():
			dropConnection(w) // the client went away, the hold goes on; no end without an answer may read as an empty 200
			return
		}
	}
	if ans.replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	switch {
	case ans.drop:
		dropConnection(w)
	case ans.failure != nil:
		writeFailure(w, ans.failure)
	default:
		writeJSON(w, http.StatusOK, ans.charge)
	}
}

// charge decides on one call and books it. The lock is held until the record is on disk: this is what makes calls with one key follow
// one another, and the gateway is no faster than its disk anyway.
func (g *Gateway) charge(key string, req *chargeRequest) answer {
	g.mu.Lock()
	defer g.mu.Unlock()
	call := record{Kind: kindCall, At: g.now(), Key: key, Body: req.digest()}
	acc := g.books.accounts[key]
	if acc == nil {
		acc = &account{key: key, body: call.Body}
	}
	if acc.body != call.Body {
		return answer{failure: keyReused(key)}
	}
	var ans answer
	switch h := g.holds[key]; {
	case acc.charge != nil:
		call.Outcome = outcomeReplayed
		ans = answer{charge: acc.charge, replayed: true}
	case acc.declined != "":
		call.Outcome = outcomeReplayed
		f, _ := failureOf(acc.declined)
		ans = answer{failure: &f, replayed: true}
	case h != nil:
		call.Outcome = outcomeHeld
		ans = answer{hold: h}
	default:
		return g.decide(call, req, len(acc.outcomes))
	}
	if f := g.book(call); f != nil {
		return answer{failure: f}
	}
	return ans
}

// decide handles a call whose key has no final answer and is not held. The lock is held.
func (g *Gateway) decide(call record, req *chargeRequest, earlier int) answer {
	call.Outcome = outcome(req.Token, call.Key, earlier, g.seed)
	if call.Outcome == outcomeHeld && g.stopped {
		call.Outcome = outcomeCharged
	}
	if makesCharge(call.Outcome) {
		call.Charge = g.newCharge(call.Key, req)
	}
	if f := g.book(call); f != nil {
		return answer{failure: f}
	}
	if f, ok := failureOf(call.Outcome); ok {
		if call.Outcome == codeRateLimited {
			f.RetryAfter = g.retryAfter
		}
		return answer{failure: &f}
	}
	if call.Outcome == outcomeHeld {
		return answer{hold: g.startHold(call, req)}
	}
	return answer{charge: call.Charge, drop: call.Outcome == outcomeLostReply}
}

// newCharge derives the IDs from the key: one key has one charge.
func (g *Gateway) newCharge(key string, req *chargeRequest) *Charge {
	return &Charge{
		ID: "ch_" + digest("charge id", key)[:24], Key: key,
		Amount: *req.Amount, Currency: req.Currency, Method: req.Method, Brand: brandOf(req.Token),
		TransactionID: "txn_" + digest("transaction id", key)[:24], Status: "succeeded",
		Run: req.Metadata.Run, Step: req.Metadata.Step, CreatedAt: g.now(),
	}
}

// book writes a record and takes it over. The lock is held. A failure means that nothing may be promised to the client.
func (g *Gateway) book(r record) *failure {
	err := g.books.check(r)
	if err == nil {
		err = g.file.append(r)
	}
	if err != nil {
		g.log.Error("ledger refused a record", slog.String("kind", r.Kind), slog.String("key", r.Key), slog.Any("err", err))
		return &failure{
			Status: http.StatusInternalServerError, Type: typeAPI, Code: "ledger_unavailable",
			Message: "The gateway cannot write its ledger. Whether you were charged is known once it is back: ask for the key then.",
		}
	}
	g.books.apply(r)
	g.log.Info("booked", slog.String("kind", r.Kind), slog.String("outcome", r.Outcome), slog.String("key", r.Key))
	return nil
}

// dropConnection ends the connection without a byte of reply.
func dropConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's own way to do the same where connections cannot be taken over
	}
	_ = conn.Close() // it is to be lost
}

func (g *Gateway) getCharges(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("key")
	g.mu.Lock()
	charges := withKey(g.books.Charges, key, func(c Charge) string { return c.Key })
	g.mu.Unlock()
	writeList(w, charges)
}

// withKey copies the items of one key, or all of them if it is empty.
func withKey[T any](items []T, key string, of func(T) string) []T {
	var found []T
	for _, item := range items {
		if key == "" || of(item) == key {
			found = append(found, item)
		}
	}
	return found
}
