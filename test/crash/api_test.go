//go:build integration

package crash_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/test/faultproxy"
)

// killAPI arranges that the API is killed when Redis has created the next run, before it hears of it. It checks at that moment that no task
// exists yet.
func (s *shop) killAPI(t *testing.T) *faultproxy.Hit {
	t.Helper()
	victim := s.API
	return s.apiProxy.On(faultproxy.Rule{Match: created, Action: faultproxy.LoseReply, Hook: func(c *faultproxy.Call) {
		if err := victim.Kill(); err != nil {
			t.Error(err)
		}
		if task := s.task(t, queueName, dag.Delivery{Run: c.Run(), Step: validateCart, Epoch: 1}); task != nil {
			t.Errorf("the fault came too late: a task is %s", task.State)
		}
	}})
}

// created matches the create_run that creates something: it carries the definition, or the partition has it already.
func created(c *faultproxy.Call) bool { return c.Script == "create_run" }

func TestCrashAPIBetweenCreateAndEnqueue(t *testing.T) {
	t.Parallel()
	s := newShop(t)

	t.Log("the sweeper of another process hands over")
	first := s.orphan(t, "first")
	worker, _ := s.worker(t)
	view := s.succeeded(t, quick, first)
	smooth(t, view)
	if err := worker.Stop(); err != nil {
		t.Fatal(err)
	}

	t.Log("the restarted API hands over")
	s.startAPI(t)
	second := s.orphan(t, "second")
	s.startAPI(t)
	eventually(t, quick, "the restarted API to hand over", func() (bool, string) {
		return s.task(t, queueName, dag.Delivery{Run: second, Step: validateCart, Epoch: 1}) != nil, ""
	})
	s.worker(t)
	smooth(t, s.succeeded(t, quick, second))

	t.Log("the client, which never got an answer, asks again")
	for key, run := range map[string]string{"first": first, "second": second} {
		if again := s.place(t, key, "test_success_visa"); again != run {
			t.Errorf("order %s again is run %s, want %s", key, again, run)
		}
	}
	s.books(t, 2)
}

// orphan places an order during which the API dies, and returns the run that is left behind.
func (s *shop) orphan(t *testing.T, key string) string {
	t.Helper()
	s.warmUp(t, key)
	hit := s.killAPI(t)
	if id, err := s.client.PlaceOrder(t.Context(), key, order("test_success_visa")); err == nil {
		t.Fatalf("the API answered (run %s) although it was killed", id)
	}
	wait(t, quick, "the API to be killed", hit.Done())
	run := hit.Calls()[0].Run()
	if view := s.run(t, run); view.State != dag.RunRunning || stepOf(view, validateCart).State != dag.StepQueued {
		t.Fatalf("the run should be there: %s", describe(view))
	}
	return run
}

// warmUp sees to it that the partition of an order's key has the definition, so that the next create_run is the one that creates: without it
// Redis asks for the definition first. It takes an order that no handler accepts, in the same partition.
func (s *shop) warmUp(t *testing.T, key string) {
	t.Helper()
	want := dag.PartitionOf("ecommerce", "process_order", key)
	for n := 0; ; n++ {
		other := "warm-up-" + strconv.Itoa(n)
		if dag.PartitionOf("ecommerce", "process_order", other) == want {
			body := order("test_success_visa")
			body["cart_items"] = []any{}
			if _, err := s.client.PlaceOrder(t.Context(), other, body); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

func (s *shop) startAPI(t *testing.T) {
	t.Helper()
	if err := s.StartAPI(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// answer is what the API said to one request.
type answer struct {
	status   int
	replayed string
	run      string
	code     string
}

// startRun posts a run of the order workflow.
func startRun(t *testing.T, client *http.Client, api, key string, input any) (answer, error) {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"workflow": "ecommerce/process_order", "input": input})
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api+"/v1/runs", bytes.NewReader(raw))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	var said struct{ ID, Code string }
	if err := json.Unmarshal(body, &said); err != nil {
		return answer{}, fmt.Errorf("%s: %w: %s", resp.Status, err, body)
	}
	return answer{status: resp.StatusCode, replayed: resp.Header.Get("Idempotent-Replayed"), run: said.ID, code: said.Code}, nil
}

// all posts n runs at once.
func all(t *testing.T, api string, n int, key string, input any) []answer {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	defer client.CloseIdleConnections()
	answers := make([]answer, n)
	var g errgroup.Group
	for i := range n {
		g.Go(func() (err error) {
			answers[i], err = startRun(t, client, api, key, input)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return answers
}

func TestOneKeyMakesOneRun(t *testing.T) {
	t.Parallel()
	const posts = 50
	s := newShop(t)
	input := order("test_success_visa")

	runs, statuses := map[string]int{}, map[string]int{}
	for _, a := range all(t, s.APIURL, posts, "one key", input) {
		runs[a.run]++
		statuses[fmt.Sprint(a.status, " replayed:", a.replayed)]++
	}
	if len(runs) != 1 || statuses["202 replayed:"] != 1 || statuses["200 replayed:true"] != posts-1 {
		t.Errorf("runs %v, answers %v; want one run, one 202 and the rest replayed", runs, statuses)
	}
	s.hasRuns(t, 1)

	for _, a := range all(t, s.APIURL, 5, "one key", order("test_success_amex")) {
		if a.status != http.StatusConflict || a.code != "idempotency_mismatch" {
			t.Errorf("another body under the key: %+v", a)
		}
	}
	s.hasRuns(t, 1)

	clear(runs)
	for _, a := range all(t, s.APIURL, posts, "", input) {
		if a.status != http.StatusAccepted {
			t.Errorf("without a key: %+v", a)
		}
		runs[a.run]++
	}
	if len(runs) != posts {
		t.Errorf("%d requests without a key made %d runs", posts, len(runs))
	}
	s.hasRuns(t, 1+posts)
}

// hasRuns checks how many runs Redis holds.
func (s *shop) hasRuns(t *testing.T, want int) {
	t.Helper()
	stats, err := s.store.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, count := range stats.Runs {
		n += count
	}
	if n != int64(want) {
		t.Errorf("%d runs in Redis, want %d", n, want)
	}
}

// TestFourWorkersShareTheLoad starts workers as docs/operations.md shows it for plain processes.
func TestFourWorkersShareTheLoad(t *testing.T) {
	t.Parallel()
	const orders, workers = 100, 4
	s := newShop(t)
	var g errgroup.Group
	for range workers { // before there is work: one that comes late finds none left
		g.Go(func() error {
			_, err := s.StartWorker(t.Context(), "STEPWELL_REDIS_URL="+s.redis.URL, "STEPWELL_WORKER_CONCURRENCY=2")
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	g = errgroup.Group{}
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
	did, total := map[string]int{}, 0
	for _, run := range runs {
		view := s.succeeded(t, 3*quick, run)
		for _, step := range view.Steps {
			did[step.Worker]++
			total++
		}
	}
	t.Logf("steps by worker: %v", did)
	if len(did) != workers {
		t.Errorf("%d workers did something, want %d", len(did), workers)
	}
	for worker, n := range did {
		if n*10 < total {
			t.Errorf("%s did %d of %d steps, less than a tenth", worker, n, total)
		}
	}
	s.books(t, orders)
}
