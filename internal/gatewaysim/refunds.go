package gatewaysim

import (
	"net/http"
)

func (g *Gateway) postRefund(w http.ResponseWriter, r *http.Request) {
	var req refundRequest
	key, bad := readRequest(w, r, &req)
	if bad == nil {
		bad = req.check()
	}
	if bad != nil {
		writeFailure(w, bad)
		return
	}
	refund, replayed, bad := g.refund(key, &req)
	if bad != nil {
		writeFailure(w, bad)
		return
	}
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	writeJSON(w, http.StatusOK, refund)
}

func (g *Gateway) refund(key string, req *refundRequest) (r Refund, replayed bool, bad *failure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	body := req.digest()
	if known, ok := g.books.refunds[key]; ok {
		if known.body != body {
			return Refund{}, false, keyReused(key)
		}
		return known.refund, true, nil
	}
	i, ok := g.books.charges[req.Charge]
	if !ok {
		return Refund{}, false, &failure{
			Status: http.StatusNotFound, Type: typeInvalid, Code: "charge_not_found", Param: "charge",
			Message: "There is no charge " + req.Charge + ". GET /v1/charges lists them.",
		}
	}
	charge, left := g.books.Charges[i], Money{g.books.left(req.Charge)}
	amount := left
	if req.Amount != nil {
		amount = *req.Amount
	}
	if amount.GreaterThan(left.Decimal) || !amount.IsPositive() {
		return Refund{}, false, invalid("refund_exceeds_charge", "amount",
			"Of the charge of "+charge.Amount.String()+" only "+left.String()+" is left to refund. Ask for no more than that.")
	}
	r = Refund{
		ID: "re_" + digest("refund id", key)[:24], Key: key, Charge: charge.ID, Amount: amount, Currency: charge.Currency,
		Status: "succeeded", Run: req.Metadata.Run, Step: req.Metadata.Step, CreatedAt: g.now(),
	}
	bad = g.book(record{Kind: kindRefund, At: r.CreatedAt, Key: key, Body: body, Refund: &r})
	return r, false, bad
}

func (g *Gateway) getRefunds(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("key")
	g.mu.Lock()
	refunds := withKey(g.books.Refunds, key, func(r Refund) string { return r.Key })
	g.mu.Unlock()
	writeList(w, refunds)
}
