//go:build integration

package bars_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/pkg/dag"
)

// fakeTime is Debian's libfaketime. Redis keeps its time by it; Go programs do not, so it is Redis's clock that jumps here. To a worker that is the same
// as if its own had jumped the other way.
func fakeTime(t *testing.T) (library string) {
	t.Helper()
	for _, dir := range []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"} {
		if name := filepath.Join(dir, "faketime", "libfaketime.so.1"); exec.Command("test", "-e", name).Run() == nil {
			return name
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("libfaketime is not installed; install the package faketime")
	}
	t.Skip("libfaketime is not installed; install the package faketime")
	return ""
}

// skewed is a lab whose Redis has a clock that set moves away from ours.
func skewed(t *testing.T, offset string) (l *lab, set func(offset string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "offset")
	set = func(offset string) {
		if err := os.WriteFile(file+".new", []byte(offset+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	set(offset)
	l = newLab(t, localredis.Options{Env: []string{
		"LD_PRELOAD=" + fakeTime(t), "FAKETIME_TIMESTAMP_FILE=" + file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
	}})
	return l, set
}

// TestClockThatIsTenMinutesOffIsRefused starts a worker whose clock is 10 minutes behind that of Redis.
func TestClockThatIsTenMinutesOffIsRefused(t *testing.T) {
	t.Parallel()
	l, set := skewed(t, "+0")
	set("+10m")
	p := l.process(t, "worker", "worker", "clock", 1, defaultTTL)
	select {
	case <-p.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the worker has started")
	}
	if tail := p.Tail(); !strings.Contains(tail, "NTP") || !strings.Contains(tail, "apart") {
		t.Errorf("it does not say what is wrong and how to mend it: %s", tail)
	}
}

// TestClockThatJumpsInTheMiddle moves the clocks of workers and Redis an hour apart, in either direction, while steps run and wait.
func TestClockThatJumpsInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, offset := range map[string]string{"the workers' back": "+1h", "the workers' forward": "-1h"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, set := skewed(t, "+0")
			l.register(t, workflow("clock", "clock", 2))
			for _, name := range []string{"worker-a", "worker-b"} {
				l.process(t, "worker", name, "clock", 10, "6s")
			}
			inputs := append(jobs(10, job{Do: doSleep, Millis: 20_000}), jobs(5, job{Do: doRetry, Millis: 15_000})...)
			runs := l.start(t, "clock", inputs...)
			l.all(t, 20*time.Second, "every run is under way", runs, func(v *dag.RunView) bool { return v.Steps[0].Attempts > 0 })
			<-time.After(5 * time.Second)
			set(offset)
			limit := 4 * time.Minute
			if offset == "-1h" { // what was to wait 15 s by Redis's clock waits an hour and 15 s: late, and nothing else
				runs = runs[:10]
				limit = 3 * time.Minute
			}
			for _, v := range l.all(t, limit, "every run has succeeded", runs, succeeded) {
				for i := range v.Steps {
					if s := &v.Steps[i]; s.Crashes != 0 {
						t.Errorf("a jump of the clock was counted as a crash: %s", describe(&v))
					}
				}
			}
			for key, n := range l.effects(t) {
				if n != 1 {
					t.Errorf("the handler of %s finished %d times", key, n)
				}
			}
		})
	}
}
