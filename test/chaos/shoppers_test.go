//go:build integration

package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stepwell/stepwell/test/chaos"
)

// patience is how long a customer tries to place an order.
const patience = 3 * time.Minute

// shoppers place orders at a steady rate, each until it is accepted.
type shoppers struct {
	client  *client
	plan    []kind
	rate    float64
	runOnly bool // as the roles have no shop routes

	accepted, again atomic.Int64

	mu      sync.Mutex
	orders  []chaos.Order
	refused []string
}

// newShoppers draws what is going to be ordered. The same seed draws the same.
func newShoppers(c *client, p *profile) *shoppers {
	rng := rand.New(rand.NewPCG(p.seed, 2))
	s := &shoppers{client: c, rate: p.rate, runOnly: p.role}
	for range p.orders {
		s.plan = append(s.plan, pick(rng, p.kinds))
	}
	return s
}

// shop places all orders and returns when each was accepted or given up.
func (s *shoppers) shop(ctx context.Context) {
	begun := time.Now()
	var wg sync.WaitGroup
	for n := range s.plan {
		due := time.Duration(float64(n) / s.rate * float64(time.Second))
		select {
		case <-time.After(due - time.Since(begun)):
		case <-ctx.Done():
		}
		wg.Go(func() { s.buy(ctx, n) })
	}
	wg.Wait()
}

func (s *shoppers) buy(ctx context.Context, n int) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	k, key := &s.plan[n], fmt.Sprintf("order-%d", n)
	run, err := s.client.place(ctx, n, k, s.runOnly || n%2 == 1, key, func() { s.again.Add(1) })
	accepted := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	created, wrong := chaos.CreatedAt(run)
	if err == nil {
		err = wrong
	}
	if err != nil {
		s.refused = append(s.refused, fmt.Sprintf("%s (%s): %v", key, k.name, err))
		return
	}
	s.accepted.Add(1)
	s.orders = append(s.orders, chaos.Order{Key: key, Run: run, Want: k.want, Created: created, Accepted: accepted})
}
