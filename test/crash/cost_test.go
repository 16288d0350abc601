//go:build integration

package crash_test

import (
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/test/faultproxy"
)

// TestOrdinaryCost counts at the proxies what undisturbed orders cost: a linear run of five steps, many of them at once.
func TestOrdinaryCost(t *testing.T) {
	t.Parallel()
	const orders, steps = 60, 5 * 60
	s := newShop(t)
	_, worker := s.worker(t)
	s.succeeded(t, quick, s.place(t, "the first brings the definition", "test_success_visa"))
	s.drained(t, quick, queueName) // a run has succeeded before its last answers have come through the proxy
	before := counts(s.apiProxy, worker)
	var g errgroup.Group
	g.SetLimit(8)
	runs := make([]string, orders)
	for i := range orders {
		g.Go(func() (err error) {
			runs[i], err = s.client.PlaceOrder(t.Context(), "order-"+strconv.Itoa(i), order("test_success_visa"))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, run := range runs {
		smooth(t, s.succeeded(t, 2*quick, run))
	}
	s.drained(t, quick, queueName)
	after := counts(s.apiProxy, worker)
	grown := func(name string) int { return after[name] - before[name] }
	// A dequeue that finds something ends in a done; those that find nothing are asynq's polling.
	calls := grown("begin") + grown("complete") + grown("fail") + grown("release") + grown("asynq.enqueue") + 2*grown("asynq.done")
	if each := float64(calls+orders) / steps; each > 5.2 {
		t.Errorf("%.2f script calls a step, want at most 5.2", each)
	}
	// Besides: the first run of each partition is created twice, because it brings the definition; and hand-overs are reported that were not
	// begun in the same process within a quarter of a second, the root steps for one, which the API hands to a worker.
	t.Logf("%.2f script calls a step; besides %d create_run for partitions that were new, %d handed_over; %d connections",
		float64(calls+orders)/steps, grown("create_run")-orders, grown("handed_over"), after["hello"])
	if grown("create_run") > orders+dag.Partitions || grown("handed_over") > steps {
		t.Errorf("%d create_run and %d handed_over for %d orders", grown("create_run"), grown("handed_over"), orders)
	}
	if grown("begin") != steps || grown("complete") != steps {
		t.Errorf("%d begins and %d completes of %d steps", grown("begin"), grown("complete"), steps)
	}
	if after["hello"] > 100 {
		t.Errorf("%d connections were made: a client for each call?", after["hello"])
	}
}

// counts adds up what proxies have counted.
func counts(proxies ...*faultproxy.Proxy) map[string]int {
	sum := map[string]int{}
	for _, p := range proxies {
		for name, n := range p.Counts() {
			sum[name] += n
		}
	}
	return sum
}
