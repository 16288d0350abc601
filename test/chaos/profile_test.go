//go:build integration

package chaos_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/test/chaos"
)

const (
	ttl       = 3 * time.Second // of claims, so that a take-over takes no 20 s
	heartbeat = 500 * time.Millisecond
	// settleLimit is the time from the last fault to the end of the last run. A task that got lost between Redis and a worker is asynq's to find, after
	// 60 to 120 s; one that Redis forgot is the sweeper's, in as long.
	settleLimit = 170 * time.Second
	// stuckLimit is enough to be found stuck: asynq takes longer to find the tasks of a worker that was killed.
	stuckLimit = 60 * time.Second
	// mayLose is what appendfsync everysec may lose, and a little for the times between a write and its answer.
	mayLose = 1200 * time.Millisecond
)

// profile is the size of a test.
type profile struct {
	seed          uint64
	orders        int
	rate          float64 // orders a second
	workers, apis int
	fsync         string // of Redis: always or everysec
	kinds         []kind
	hold          time.Duration // that the gateway holds payments of the kind held, at most
	faults        faults
	nap           time.Duration // that the first worker is stopped for in the middle, besides; 0 is not at all

	patience time.Duration // for runs to end; 0 is settleLimit

	role bool   // the processes are this test binary's roles
	off  string // protections that a role does without
}

// faults counts what is going to happen.
type faults struct{ kills, outages, stops, cuts, delays int }

// faultsFor scales with the number of orders.
func faultsFor(orders int) faults {
	return faults{
		kills: max(12, orders/50), outages: max(3, orders/450), stops: max(2, orders/450),
		cuts: max(8, orders/60), delays: max(6, orders/100),
	}
}

func (p *profile) span() time.Duration {
	return time.Duration(float64(p.orders) / p.rate * float64(time.Second))
}

// fromEnv is a number that the environment may set.
func fromEnv(t *testing.T, name string, preset float64) float64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return preset
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 {
		t.Fatalf("%s = %q, must be a number above 0", name, text)
	}
	return n
}

func seedFromEnv(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("SW_CHAOS_SEED")
	if text == "" {
		return rand.Uint64() >> 32 // short enough to be typed
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("SW_CHAOS_SEED = %q, must be a whole number", text)
	}
	return seed
}

// kind is a sort of order whose end is known beforehand.
type kind struct {
	name     string
	weight   int
	product  int
	quantity int
	amount   string
	token    string
	tier     string
	priority string
	want     chaos.Want
}

const (
	phoneCase = 8 // there are enough of them for all
	grinder   = 5 // never restocked
)

func kinds() []kind {
	ok := chaos.Want{State: dag.RunSucceeded}
	fails := func(step, code string) chaos.Want { return chaos.Want{State: dag.RunFailed, Step: step, Code: code} }
	one := func(name string, weight int, token string, want chaos.Want) kind {
		return kind{name: name, weight: weight, product: phoneCase, quantity: 1, amount: "23.26", token: token, want: want}
	}
	express, premium := one("express", 7, "test_success_amex", ok), one("premium", 8, "test_success_mastercard", ok)
	express.priority, premium.tier = "express", "premium"
	mismatch := one("amount mismatch", 4, "test_success_visa", fails(processPayment, "PAYMENT_AMOUNT_MISMATCH"))
	mismatch.amount = "20.00"
	return []kind{
		one("success", 28, "test_success_visa", ok), express, premium, held(15),
		one("flaky gateway", 10, "test_temp_fail_network", ok),
		one("lost reply", 10, "test_lost_reply_visa", ok),
		one("declined", 6, "test_insufficient_funds", fails(processPayment, "PAYMENT_DECLINED")),
		one("gateway timeout", 6, "test_timeout_slow", fails(processPayment, "GATEWAY_TIMEOUT")),
		mismatch,
		{name: "out of stock", weight: 6, product: grinder, quantity: 20, amount: "1953.77", token: "test_success_visa", want: fails(validateCart, "")},
	}
}

// held is an order whose payment takes its time.
func held(weight int) kind {
	return kind{name: "held", weight: weight, product: phoneCase, quantity: 1, amount: "23.26", token: "test_hold_visa", want: chaos.Want{State: dag.RunSucceeded}}
}

// pick picks a kind by weight.
func pick(rng *rand.Rand, from []kind) kind {
	total := 0
	for i := range from {
		total += from[i].weight
	}
	n := rng.IntN(total)
	i := slices.IndexFunc(from, func(k kind) bool { n -= k.weight; return n < 0 })
	return from[i]
}

// input is the body of the n-th order.
func (k *kind) input(n int) map[string]any {
	customer := map[string]any{"email": fmt.Sprintf("customer%d@example.com", n), "name": "Ada Lovelace"}
	if k.tier != "" {
		customer["tier"] = k.tier
	}
	in := map[string]any{
		"cart_items":    []map[string]any{{"product_id": k.product, "quantity": k.quantity}},
		"payment_info":  map[string]any{"method": "credit_card", "amount": json.Number(k.amount), "currency": "USD", "token": k.token},
		"customer_info": customer,
	}
	if k.priority != "" {
		in["priority"] = k.priority
	}
	return in
}

// profiles are those of the workflow that go with the order; the shop's own route finds them by itself.
func (k *kind) profiles() []string {
	profiles := []string{}
	if k.priority == "express" {
		profiles = append(profiles, "express")
	}
	if k.tier == "premium" {
		profiles = append(profiles, "premium")
	}
	return profiles
}
