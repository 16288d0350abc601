//go:build integration

package crash_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/test/faultproxy"
)

func TestCrashWorkerDuringCharge(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	victim, _ := s.worker(t)
	run := s.place(t, "order", "test_hold_visa")
	s.held(t, run)
	killed := time.Now()
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	s.release(t) // the charge is made, and nobody is left to hear of it
	s.worker(t)
	eventually(t, takeOver, "another worker to take the step over", func() (bool, string) {
		view := s.run(t, run)
		return stepOf(view, processPayment).Attempts == 2, describe(view)
	})
	t.Logf("taken over %.1f s after the kill -9", time.Since(killed).Seconds())
	view := s.succeeded(t, quick, run)
	counted(t, view, processPayment, 2, 0, 1)
	smooth(t, view, processPayment)
	if n := s.gatewayCalls(t, run); n != 1 {
		t.Errorf("the gateway was asked to charge %d times, want once: the second attempt has to look first", n)
	}
	s.books(t, 1)
}

func TestCrashWorkerBetweenCompleteAndEnqueue(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	victim, proxy := s.worker(t)
	hit := proxy.On(faultproxy.Rule{Match: faultproxy.Script("complete", processPayment), Action: faultproxy.LoseReply, Hook: func(c *faultproxy.Call) {
		if err := victim.Kill(); err != nil {
			t.Error(err)
		}
		if task := s.task(t, queueName, dag.Delivery{Run: c.Run(), Step: reserve, Epoch: 1}); task != nil {
			t.Errorf("the fault came too late: the child's task is %s", task.State)
		}
	}})
	run := s.place(t, "order", "test_success_visa")
	wait(t, quick, "the worker to be killed", hit.Done())
	killed := time.Now()
	s.reached(t, quick, run, reserve, dag.StepQueued)
	s.worker(t)
	view := s.succeeded(t, quick, run)
	t.Logf("succeeded %.1f s after the kill -9", time.Since(killed).Seconds())
	smooth(t, view)
	s.books(t, 1)
}

func TestCrashOfTheConnectionLosesReplies(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, proxy := s.worker(t)
	for i, c := range []struct {
		script, token      string
		attempts, failures int
	}{
		{"begin", "test_success_visa", 1, 0},
		{"complete", "test_success_visa", 1, 0},
		{"fail", "test_temp_fail_network", 3, 2}, // two transient errors, the reply to the first report is lost
	} {
		hit := proxy.On(faultproxy.Rule{Match: faultproxy.Script(c.script, processPayment), Action: faultproxy.LoseReply})
		run := s.place(t, "lost "+c.script, c.token)
		wait(t, quick, "the reply of "+c.script+" to be lost", hit.Done())
		view := s.succeeded(t, quick, run)
		counted(t, view, processPayment, c.attempts, c.failures, 0)
		smooth(t, view, processPayment)
		if n := s.gatewayCalls(t, run); n != c.attempts {
			t.Errorf("lost %s: %d calls of the gateway, want %d", c.script, n, c.attempts)
		}
		s.books(t, i+1)
	}
}

func TestCrashLosesTheAckOfASucceededStep(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	victim, proxy := s.worker(t)
	hit := proxy.On(faultproxy.Rule{Match: faultproxy.TaskOf("asynq.done", processPayment), Times: -1, Action: faultproxy.CutBefore})
	run := s.place(t, "order", "test_success_visa")
	view := s.succeeded(t, quick, run)
	wait(t, quick, "an ack to be cut", hit.Done())
	if err := victim.Kill(); err != nil { // it would try for a while
		t.Fatal(err)
	}
	delivery := dag.Delivery{Run: run, Step: processPayment, Epoch: 1}
	if task := s.task(t, queueName, delivery); task == nil || task.State != asynq.TaskStateActive {
		t.Fatalf("the task should still be active: %+v", task)
	}
	// asynq delivers it again when its lease has been over for half a minute. Here that is at once.
	lapsed := redis.Z{Score: float64(time.Now().Add(-time.Hour).Unix()), Member: delivery.TaskID()}
	if err := s.bench.client.ZAdd(t.Context(), "asynq:{"+queueName+"}:lease", lapsed).Err(); err != nil {
		t.Fatal(err)
	}
	_, second := s.worker(t)
	again := second.On(faultproxy.Rule{Match: faultproxy.Script("begin", processPayment), Action: faultproxy.Hold})
	wait(t, quick, "the step to be delivered again", again.Done())
	s.drained(t, quick, queueName)
	smooth(t, view)
	smooth(t, s.run(t, run))
	if n := s.gatewayCalls(t, run); n != 1 {
		t.Errorf("%d calls of the gateway, want 1", n)
	}
	s.books(t, 1)
}

func TestDuplicateDeliveries(t *testing.T) {
	t.Parallel()
	const copies = 8
	s := newShop(t)
	proxies := make([]*faultproxy.Proxy, 2)
	for i := range proxies {
		_, proxies[i] = s.worker(t)
	}
	run := s.stopBefore(t, proxies, processPayment)
	view := s.run(t, run)
	s.copies(t, queueName, "checkout."+processPayment, view, dag.Delivery{Run: run, Step: processPayment, Epoch: stepOf(view, processPayment).Epoch}, copies)
	begins := make([]int, len(proxies))
	for i, p := range proxies {
		begins[i] = p.Counts()["begin"]
	}
	if err := s.inspector.UnpauseQueue(queueName); err != nil {
		t.Fatal(err)
	}
	s.succeeded(t, quick, run)
	s.drained(t, 2*quick, queueName) // a copy that was told BUSY comes again after 5 s
	for i, p := range proxies {
		if n := p.Counts()["begin"] - begins[i]; n == 0 {
			t.Errorf("worker %d asked for no step: the copies did not reach both", i+1)
		}
	}
	smooth(t, s.run(t, run))
	if n := s.gatewayCalls(t, run); n != 1 {
		t.Errorf("%d calls of the gateway, want 1", n)
	}
	s.books(t, 1)
}

// stopBefore places an order and pauses asynq's queue just before a step's task gets into it.
func (s *shop) stopBefore(t *testing.T, proxies []*faultproxy.Proxy, step string) string {
	t.Helper()
	paused := make(chan struct{}, len(proxies))
	for _, p := range proxies {
		p.On(faultproxy.Rule{Match: faultproxy.Script("complete", validateCart), Action: faultproxy.Hold, Hook: func(*faultproxy.Call) {
			if err := s.inspector.PauseQueue(queueName); err != nil {
				t.Error(err)
			}
			paused <- struct{}{}
		}})
	}
	run := s.place(t, "order", "test_success_visa")
	select {
	case <-paused:
	case <-time.After(quick):
		t.Fatal("no worker completed the step before " + step)
	}
	eventually(t, quick, "the task of "+step, func() (bool, string) {
		task := s.task(t, queueName, dag.Delivery{Run: run, Step: step, Epoch: 1})
		return task != nil && task.State == asynq.TaskStatePending, fmt.Sprintf("%+v", task)
	})
	return run
}

func TestTerminationInTheMiddleOfWork(t *testing.T) {
	t.Parallel()
	const grace = 8 * time.Second
	s := newShop(t)
	first, _ := s.worker(t, "STEPWELL_WORKER_GRACE="+grace.String(), "STEPWELL_WORKER_CONCURRENCY=4")
	runs := []string{s.place(t, "held", "test_hold_visa")}
	s.held(t, runs[0])
	for i := range 10 { // some of them are under way when the signal comes
		runs = append(runs, s.place(t, fmt.Sprint("order ", i), "test_success_visa"))
	}
	asked := time.Now()
	if err := first.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait(t, grace+5*time.Second, "the worker to end", first.Done()) // with what a busy machine adds
	t.Logf("ended %.1f s after SIGTERM, with a grace time of %s", time.Since(asked).Seconds(), grace)
	if err := first.Stop(); err != nil { // it has ended: this tells how
		t.Error(err)
	}
	if view := s.run(t, runs[0]); stepOf(view, processPayment).State != dag.StepQueued {
		t.Errorf("%s should have been given back: %s", processPayment, describe(view))
	}
	s.worker(t)
	s.held(t, runs[0])
	s.release(t)
	for i, run := range runs {
		view := s.succeeded(t, quick, run)
		for _, step := range view.Steps {
			if step.Failures != 0 || step.Crashes != 0 {
				t.Errorf("order %d: %s", i, describe(view))
			}
		}
	}
	counted(t, s.run(t, runs[0]), processPayment, 2, 0, 0)
	s.books(t, len(runs))
}

func TestRedisAwayInTheMiddleOfAHandler(t *testing.T) {
	t.Parallel()
	const outage = 40 * time.Second
	s := newShop(t)
	worker, err := s.StartWorker(t.Context()) // behind the proxy of the API: Redis is away for all
	if err != nil {
		t.Fatal(err)
	}
	run := s.place(t, "order", "test_hold_visa")
	s.held(t, run)
	away(t, s.apiProxy)
	s.release(t) // the handler finishes while Redis is away
	if err := s.redis.Restart(t.Context()); err != nil {
		t.Fatal(err) // what comes back knows no scripts
	}
	s.probed(t)
	lasts(t, outage)
	back(t, s.apiProxy)
	returned := time.Now()
	view := s.succeeded(t, takeOver, run)
	t.Logf("succeeded %.1f s after Redis was back", time.Since(returned).Seconds())
	smooth(t, view)
	if n := s.gatewayCalls(t, run); n != 1 {
		t.Errorf("%d calls of the gateway, want 1: the handler must not run again", n)
	}
	if n := strings.Count(s.logOf(t, worker.Process), `"msg":"step begun"`); n != 5 {
		t.Errorf("%d handlers were run for 5 steps", n)
	}
	s.books(t, 1)
}

// probed checks what the API says while Redis is away: it lives, is not ready, and starts nothing.
func (s *shop) probed(t *testing.T) {
	t.Helper()
	eventually(t, quick, "the API to be alive and not ready", func() (bool, string) {
		health, ready := statusOf(t, s.APIURL+"/healthz"), statusOf(t, s.APIURL+"/readyz")
		return health == http.StatusOK && ready == http.StatusServiceUnavailable, fmt.Sprintf("health %d, ready %d", health, ready)
	})
	client := &http.Client{}
	defer client.CloseIdleConnections()
	a, err := startRun(t, client, s.APIURL, "while away", order("test_success_visa"))
	if err != nil || a.status != http.StatusServiceUnavailable {
		t.Errorf("a start while Redis is away: %+v, %v; want 503", a, err)
	}
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close() // only the status counts
	return resp.StatusCode
}

// TestRedisBehindADeafDoor is an outage as load balancers make them: connections are accepted and end before the first word.
func TestRedisBehindADeafDoor(t *testing.T) {
	t.Parallel()
	const outage, recovery = 5 * time.Second, 15 * time.Second // it is about 1 s, and what a busy machine adds
	s := newShop(t)
	_, proxy := s.worker(t)
	var deaf atomic.Bool
	proxy.On(faultproxy.Rule{Match: func(c *faultproxy.Call) bool { return deaf.Load() && c.Verb == "hello" }, Times: -1, Action: faultproxy.CutBefore})
	run := s.place(t, "order", "test_hold_visa")
	s.held(t, run)
	deaf.Store(true)
	away(t, proxy)
	back(t, proxy) // every old connection is cut, and no new one gets through its greeting
	s.release(t)
	lasts(t, outage)
	deaf.Store(false)
	returned := time.Now()
	view := s.succeeded(t, quick+quick, run)
	if took := time.Since(returned); took > recovery {
		t.Errorf("succeeded %.1f s after Redis was back, want at most %s", took.Seconds(), recovery)
	}
	smooth(t, view)
	s.books(t, 1)
}
