//go:build integration

package bars_test

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/pkg/dag"
)

// skewed is a lab whose Redis has a clock that set moves ahead of ours. Redis is a C program that can be given another clock; a Go program cannot. To a
// worker it is the same as if its own clock had moved the other way.
func skewed(t *testing.T) (l *lab, set func(ahead time.Duration)) {
	t.Helper()
	dir := t.TempDir()
	library, file := filepath.Join(dir, "clock.so"), filepath.Join(dir, "ahead")
	out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-O1", "-o", library, "testdata/clock.c").CombinedOutput()
	if err != nil {
		t.Fatalf("build the clock; it needs gcc and libc6-dev, as the race detector does: %v: %s", err, out)
	}
	set = func(ahead time.Duration) {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		var raw [8]byte
		binary.NativeEndian.PutUint64(raw[:], uint64(int64(ahead/time.Second)))
		_, err = f.WriteAt(raw[:], 0)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	return newLab(t, localredis.Options{Env: []string{"LD_PRELOAD=" + library, "CLOCK_AHEAD=" + file}}), set
}

// TestClockThatIsTenMinutesOffIsRefused starts a worker whose clock is 10 minutes behind that of Redis.
func TestClockThatIsTenMinutesOffIsRefused(t *testing.T) {
	t.Parallel()
	l, set := skewed(t)
	set(10 * time.Minute)
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
	for name, offset := range map[string]time.Duration{"the workers' back": time.Hour, "the workers' forward": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, set := skewed(t)
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
			if offset < 0 { // what was to wait 15 s by Redis's clock waits an hour and 15 s: late, and nothing else
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
