package gatewaysim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// hold is a charge that waits. It belongs to the gateway, not to the call that began it.
type hold struct {
	released chan struct{} // closed once, under the gateway's lock, by release
	open     bool          // released is not closed yet
	done     chan struct{} // closed when answer is set
	answer   answer
}

// startHold begins to wait in a goroutine that ends at release, limit or shutdown. The lock is held and the gateway is not stopping.
func (g *Gateway) startHold(call record, req *chargeRequest) *hold {
	h := &hold{released: make(chan struct{}), open: true, done: make(chan struct{})}
	g.holds[call.Key] = h
	g.waiting.Go(func() {
		limit := time.NewTimer(g.holdLimit)
		defer limit.Stop()
		select {
		case <-h.released:
		case <-limit.C:
		case <-g.stopping:
		}
		g.endHold(h, call, req)
	})
	return h
}

func (g *Gateway) endHold(h *hold, call record, req *chargeRequest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.newCharge(call.Key, req)
	if f := g.book(record{Kind: kindCharge, At: c.CreatedAt, Key: call.Key, Body: call.Body, Charge: c}); f != nil {
		h.answer = answer{failure: f}
	} else {
		h.answer = answer{charge: c}
	}
	delete(g.holds, call.Key)
	close(h.done)
}

// postRelease lets the held charges of one key, or all, go on, and answers when they are made.
func (g *Gateway) postRelease(w http.ResponseWriter, r *http.Request) {
	held := g.release(r.URL.Query().Get("key"))
	for _, h := range held {
		select {
		case <-h.done:
		case <-r.Context().Done():
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]int{"released": len(held)})
}

func (g *Gateway) release(key string) []*hold {
	g.mu.Lock()
	defer g.mu.Unlock()
	var held []*hold
	for k, h := range g.holds {
		if (key == "" || k == key) && h.open {
			h.open = false
			close(h.released)
			held = append(held, h)
		}
	}
	return held
}

// KeyCalls tells how often a key was used.
type KeyCalls struct {
	Key      string   `json:"key"`
	Calls    int      `json:"calls"`
	Charged  bool     `json:"charged"`
	Held     bool     `json:"held"`     // a charge waits right now
	Outcomes []string `json:"outcomes"` // of each call, see Call
}

func (g *Gateway) getCalls(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("key")
	g.mu.Lock()
	var calls []KeyCalls
	for k, acc := range g.books.accounts {
		if key == "" || k == key {
			calls = append(calls, KeyCalls{
				Key: k, Calls: len(acc.outcomes), Charged: acc.charge != nil, Held: g.holds[k] != nil, Outcomes: slices.Clone(acc.outcomes),
			})
		}
	}
	g.mu.Unlock()
	slices.SortFunc(calls, func(a, b KeyCalls) int { return strings.Compare(a.Key, b.Key) })
	writeList(w, calls)
}
