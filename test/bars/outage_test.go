//go:build integration

package bars_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/test/faultproxy"
)

// TestRedisAwayForAMinute cuts four workers with 200 running steps off Redis for 60 s. Handlers finish before, in and after that time.
func TestRedisAwayForAMinute(t *testing.T) {
	t.Parallel()
	const workers, steps = 4, 200
	l := newLab(t, localredis.Options{})
	l.register(t, workflow("outage", "outage", 1))
	proxy, err := faultproxy.Start(t.Context(), l.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	l.url = proxy.URL()
	for i := range workers {
		l.process(t, "worker", fmt.Sprintf("worker-%d", i), "outage", steps/workers, defaultTTL)
	}
	inputs := make([]job, steps)
	for i := range inputs {
		inputs[i] = job{Do: doSleep, Millis: 20_000 + i*400} // 20 to 100 s
	}
	runs := l.start(t, "outage", inputs...)
	l.all(t, 30*time.Second, "every step is running", runs, running)
	if err := proxy.Away(); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Minute) // the outage
	if err := proxy.Back(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	for _, v := range l.all(t, 2*time.Minute, "every run has succeeded", runs, succeeded) {
		if s := &v.Steps[0]; s.Attempts != 1 || s.Crashes != 0 || s.Failures != 0 {
			t.Errorf("want one attempt, no failure, no crash: %s", describe(&v))
		}
	}
	for key, n := range l.effects(t) {
		if n != 1 {
			t.Errorf("the handler of %s ran %d times", key, n)
		}
	}
	t.Logf("Redis away for 60s with %d running steps: all ended %.0fs after its return, no crash, no failure, no second handler", steps, time.Since(back).Seconds())
}

// TestStoppedWorkerIsNoCrash stops a worker for longer than the TTL in the middle of a step. Its step is taken over, which looks like a crash until the worker
// wakes up and says that it lives.
func TestStoppedWorkerIsNoCrash(t *testing.T) {
	t.Parallel()
	l := newLab(t, localredis.Options{})
	l.register(t, workflow("stopped", "stopped", 1))
	fleet := map[string]*demo.Process{}
	for _, name := range []string{"worker-a", "worker-b"} {
		fleet[name] = l.process(t, "worker", name, "stopped", 1, "6s")
	}
	runs := l.start(t, "stopped", job{Do: doSleep, Millis: 15_000})
	held := l.all(t, 20*time.Second, "the step is running", runs, running)[0]
	sleeper := fleet[held.Steps[0].Worker[:len("worker-a")]]
	if err := sleeper.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	again := l.all(t, 40*time.Second, "the step is taken over", runs, func(v *dag.RunView) bool { return running(v) && v.Steps[0].Attempts == 2 })[0]
	if again.Steps[0].Crashes != 1 {
		t.Errorf("want a crash for as long as nobody knows better: %s", describe(&again))
	}
	if err := sleeper.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	v := l.all(t, time.Minute, "the run has succeeded", runs, succeeded)[0]
	if s := &v.Steps[0]; s.Attempts != 2 || s.Crashes != 0 || s.Failures != 0 {
		t.Errorf("want a second attempt, and the crash taken back: %s", describe(&v))
	}
}
