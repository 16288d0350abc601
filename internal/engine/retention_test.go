package engine_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// finish runs a run to its end, or fails its first step.
func (r *rig) finish(fails bool) (run string) {
	r.t.Helper()
	run = r.start().ID
	if fails {
		if _, err := r.Fail(r.t.Context(), r.take("w1"), dag.StepError{Code: "NO"}, 0, 0); err != nil {
			r.t.Fatal(err)
		}
		return run
	}
	for range 3 {
		r.complete(r.take("w1"))
	}
	return run
}

func (r *rig) kept(run string) bool {
	r.t.Helper()
	_, err := r.store.Run(r.t.Context(), run)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		r.t.Fatal(err)
	}
	return err == nil
}

func TestRunsAreKeptAsLongAsIsSaid(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		cfg              engine.Config
		keep, keepFailed time.Duration // of the workflow
		fails            bool
		want             time.Duration // 0: for ever
	}{
		"default":                          {want: 7 * day},
		"default, failed":                  {fails: true, want: 30 * day},
		"installation":                     {cfg: engine.Config{Keep: day}, want: day},
		"installation, failed":             {cfg: engine.Config{KeepFailed: 2 * day}, fails: true, want: 2 * day},
		"for ever":                         {cfg: engine.Config{Keep: dag.Forever}},
		"for ever, failed":                 {cfg: engine.Config{KeepFailed: dag.Forever}, fails: true},
		"workflow":                         {cfg: engine.Config{Keep: day}, keep: time.Hour, want: time.Hour},
		"workflow, failed":                 {cfg: engine.Config{KeepFailed: day}, keepFailed: time.Hour, fails: true, want: time.Hour},
		"workflow, for ever":               {keep: dag.Forever},
		"workflow, not the installation's": {cfg: engine.Config{Keep: dag.Forever}, keep: day, want: day},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.use(c.cfg)
			w := linear("1.1.0")
			w.Keep, w.KeepFailed = c.keep, c.keepFailed
			r.register(w)
			run := r.finish(c.fails)
			end := c.want
			if end == 0 {
				end = 1000 * day
			}
			r.store.Advance(end - time.Minute)
			r.pass(2 * time.Second)
			if !r.kept(run) {
				t.Fatal("removed too early")
			}
			r.store.Advance(2 * time.Minute)
			r.pass(2 * time.Second)
			if r.kept(run) != (c.want == 0) || r.seen.purged != map[bool]int{true: 1}[c.want > 0] {
				t.Errorf("kept %t, %d purged", r.kept(run), r.seen.purged)
			}
		})
	}
	_, err := engine.New(newRig(t).store, newRig(t).queue, anySchema{}, engine.Config{Keep: -time.Hour})
	if !errors.Is(err, dag.ErrInvalid) {
		t.Errorf("negative retention: %v, want invalid", err)
	}
}

// Many runs end their retention at once. The sweeper goes through them in bounded steps, and removes none that was opened again.
func TestPurgeIsBoundedAndSparesWhatWasOpenedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.use(engine.Config{Keep: time.Hour, KeepFailed: time.Hour})
	opened := r.finish(true)
	for range 250 {
		r.finish(false)
	}
	if _, err := r.Retry(t.Context(), engine.OperatorRequest{Run: opened}); err != nil {
		t.Fatal(err)
	}
	r.store.Advance(time.Hour)
	before := 0
	for range 4 {
		r.pass(time.Second)
		if n := r.seen.purged - before; n > 100 {
			t.Errorf("%d runs removed in a round, at most 100 are allowed", n)
		}
		before = r.seen.purged
	}
	if r.seen.purged != 250 || !r.kept(opened) {
		t.Errorf("%d runs removed, want 250; the one that was opened again is kept: %t", r.seen.purged, r.kept(opened))
	}
}

// unreadable is a store with an entry of another release.
type unreadable struct{ engine.Store }

func (u unreadable) Waiting(ctx context.Context) (partitions []int, clocks []time.Time, err error) {
	_, clocks, err = u.Store.Waiting(ctx)
	return []int{3}, clocks, err
}

func (u unreadable) Due(ctx context.Context, partition int, limits dag.DueLimits) (dag.Due, error) {
	due, err := u.Store.Due(ctx, partition, limits)
	due.Unreadable = []string{"signal:run_03_X: unknown kind"}
	return due, err
}

func TestUnreadableEntryIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var log bytes.Buffer
	e, err := engine.New(unreadable{r.store}, r.queue, anySchema{}, engine.Config{Now: r.store.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	e.Sweep()(t.Context())
	if got := log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "signal:run_03_X") || !strings.Contains(got, "newest release") {
		t.Errorf("log:\n%s\nwant one warning with the entry and the mend", got)
	}
}
