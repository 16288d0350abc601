//go:build integration

package bars_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/pkg/dag"
)

// TestOnePoisonousStepAmongFiftyHealthyRuns lets a step end its process each time, beside runs that are in the middle of steps then.
func TestOnePoisonousStepAmongFiftyHealthyRuns(t *testing.T) {
	t.Parallel()
	const workers, healthy, steps = 4, 50, 12
	l := newLab(t, localredis.Options{})
	l.register(t, workflow("healthy", "shared", steps), workflow("poisonous", "shared", 1))
	var lost atomic.Int32
	ctx, stop := context.WithCancel(t.Context())
	var fleet sync.WaitGroup
	for i := range workers {
		fleet.Go(func() {
			for n := 0; ctx.Err() == nil; n++ { // a supervisor
				p, err := demo.StartProcess(fmt.Sprintf("worker-%d-%d", i, n), l.command(t, "worker", fmt.Sprintf("worker-%d-%d", i, n), "shared", 20, "6s"))
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case <-p.Done():
					lost.Add(1)
				case <-ctx.Done():
					if err := p.Stop(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	t.Cleanup(fleet.Wait)
	t.Cleanup(stop)
	runs := l.start(t, "healthy", jobs(healthy, job{Do: doSleep, Millis: 2500})...)
	l.all(t, 30*time.Second, "every run is under way", runs, running)
	began := time.Now()
	poisonous := l.start(t, "poisonous", job{Do: doPoison})
	v := l.all(t, 3*time.Minute, "the poisonous run has ended", poisonous, ended)[0]
	took := time.Since(began)
	s := &v.Steps[0]
	if v.State != dag.RunFailed || s.Error == nil || s.Error.Code != dag.CodePoison || s.Crashes != dag.MaxCrashes {
		t.Fatalf("want POISON after %d crashes: %s, error %v", dag.MaxCrashes, describe(&v), s.Error)
	}
	crashed := 0
	for _, v := range l.all(t, 4*time.Minute, "every healthy run has succeeded", runs, succeeded) {
		for i := range v.Steps {
			crashed += v.Steps[i].Crashes
		}
	}
	page, err := l.store.DeadLetters(t.Context(), dag.DeadLetterQuery{Limit: 100})
	if err != nil || len(page.Letters) != 1 {
		t.Fatalf("%d dead letters, %v; want one", len(page.Letters), err)
	}
	letter := page.Letters[0]
	if letter.Run != v.ID || letter.Error.Code != dag.CodePoison || letter.Worker != s.Worker || letter.StartedAt.IsZero() || !strings.Contains(letter.Error.Message, s.Worker) {
		t.Errorf("the dead letter does not lead to the worker %s: %+v", s.Worker, letter)
	}
	if n := lost.Load(); n > dag.MaxCrashes {
		t.Errorf("%d workers lost, at most %d promised", n, dag.MaxCrashes)
	}
	t.Logf("one poisonous step among %d healthy runs: POISON after %.0fs, %d workers lost; %d steps of the healthy runs were running in them and were taken over",
		healthy, took.Seconds(), lost.Load(), crashed)
}
