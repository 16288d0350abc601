//go:build integration

package main

import (
	"os"
	"testing"

	"github.com/stepwell/stepwell/internal/localredis"
)

// logWriter passes progress on to the test's log.
type logWriter struct{ t *testing.T }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}

// TestShortProfile asserts counts and no times: what a step costs in script calls, bytes and connections is the same on every machine.
func TestShortProfile(t *testing.T) {
	t.Parallel()
	if localredis.Find() == "" && os.Getenv("REQUIRE_REDIS") != "1" {
		t.Skip("no redis-server or valkey-server in PATH")
	}
	opts := shortProfile()
	r, err := measure(t.Context(), opts, logWriter{t})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range r.Systems {
		if len(f.Rounds) != opts.Rounds {
			t.Errorf("%s: %d rounds, want %d", name, len(f.Rounds), opts.Rounds)
		}
		for i, round := range f.Rounds {
			if round.Ended != round.Started || round.Repeated != 0 || round.Started < opts.Runs {
				t.Errorf("%s: round %d: %d started, %d ended, %d repeated", name, i, round.Started, round.Ended, round.Repeated)
			}
			// Pools of the client, the queue and the worker may grow to what is at work at once, never with the number of calls.
			if limit := int64(2 * opts.Concurrency); round.Connections > limit {
				t.Errorf("%s: round %d: %d new connections for %d steps, at most %d are allowed", name, i, round.Connections, opts.Runs*steps, limit)
			}
		}
		if f.Wire.NewConnections > 2 { // one run at a time: a pool may replace a connection
			t.Errorf("%s: %d new connections for %d runs, one at a time", name, f.Wire.NewConnections, f.Wire.Runs)
		}
		for verb, v := range f.Wire.Verbs {
			if v.Errors > 0 {
				t.Errorf("%s: %d of %d calls of %s failed", name, v.Errors, v.Calls, verb)
			}
		}
	}
	assertCalls(t, nameHand, &r.Systems[nameHand].Wire, map[string]int{verbEnqueue: steps, verbDequeue: steps, verbDone: steps})
	assertCalls(t, nameOurs, &r.Systems[nameOurs].Wire, map[string]int{
		"create_run": 1, "begin": steps, "complete": steps, verbEnqueue: steps, verbDequeue: steps, verbDone: steps,
	})
	if err := r.check(); err != nil {
		t.Error(err)
	}
}

// assertCalls compares calls of scripts with what one run needs. Calls of others show in the sum, which the report checks.
func assertCalls(t *testing.T, name string, w *wireResult, perRun map[string]int) {
	t.Helper()
	for verb, n := range perRun {
		if got := w.Verbs[verb].Calls; got != n*w.Runs {
			t.Errorf("%s: %d calls of %s for %d runs, want %d", name, got, verb, w.Runs, n*w.Runs)
		}
	}
}
