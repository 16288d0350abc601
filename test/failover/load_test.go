//go:build integration

package failover_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	starters   = 8                     // that place orders at once
	startPause = 40 * time.Millisecond // of each between two orders
	callLimit  = 5 * time.Second       // for one answer, be it 202 or 503; 2 s are promised, the rest is for a busy machine
)

// answer is a start that was answered.
type answer struct {
	run string
	at  time.Time
}

// load starts runs until it is ended, each with a key, and repeats what was refused.
type load struct {
	lab  *lab
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex
	accepted []answer
	refused  int
	slowest  time.Duration
	wrong    []error // neither accepted nor refused for the time being
}

func (l *lab) load(t *testing.T) *load {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	run := &load{lab: l, stop: stop}
	for n := range starters {
		run.done.Go(func() { run.place(ctx, strconv.Itoa(n)) })
	}
	t.Cleanup(run.end)
	return run
}

// end stops the load; starts that wait for an answer count as not answered.
func (l *load) end() {
	l.stop()
	l.done.Wait()
}

func (l *load) place(ctx context.Context, starter string) {
	pace := time.NewTicker(startPause)
	defer pace.Stop()
	for n := 0; ctx.Err() == nil; {
		if l.start(ctx, starter+"-"+strconv.Itoa(n)) {
			n++
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
	}
}

// start makes one request and tells whether it was accepted.
func (l *load) start(ctx context.Context, key string) bool {
	asked := time.Now()
	started, err := l.lab.api.Start(ctx, engine.StartRequest{Workflow: "lab/order", Key: key})
	if ctx.Err() != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, time.Since(asked))
	switch {
	case err == nil:
		l.accepted = append(l.accepted, answer{run: started.Run.ID, at: time.Now()})
	case errors.Is(err, engine.ErrUnavailable), errors.Is(err, engine.ErrMemory):
		l.refused++
	default:
		l.wrong = append(l.wrong, err)
	}
	return err == nil
}

// reaches waits until so many starts more have been accepted among those that which selects.
func (l *load) reaches(t *testing.T, more int, limit time.Duration, what string, which func(run string) bool) {
	t.Helper()
	begun := time.Now()
	redistest.Await(t, limit, what, func(context.Context) (bool, string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		n := 0
		for _, a := range l.accepted {
			if a.at.After(begun) && which(a.run) {
				n++
			}
		}
		return n >= more, fmt.Sprintf("%d accepted, %d refused, wrong: %v", n, l.refused, l.wrong)
	})
}

// interruption is the longest time since a moment without an accepted start among those that which selects.
func (l *load) interruption(since time.Time, which func(run string) bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest, last := time.Duration(0), since
	for _, a := range slices.SortedFunc(slices.Values(l.accepted), func(a, b answer) int { return a.at.Compare(b.at) }) {
		if a.at.After(since) && which(a.run) {
			longest, last = max(longest, a.at.Sub(last)), a.at
		}
	}
	return longest
}

// interrupted reports how long starts were interrupted by what has happened since a moment.
func (l *load) interrupted(t *testing.T, what string, since time.Time, which func(run string) bool) {
	t.Helper()
	took := l.interruption(since, which)
	t.Logf("%s: starts were interrupted for %s; at most %s are promised", what, took.Round(10*time.Millisecond), promised)
	if took > limitService {
		t.Errorf("%s: starts were interrupted for more than %s", what, limitService)
	}
}

func everyRun(string) bool { return true }

// runs are the accepted ones.
func (l *load) runs() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := map[string]bool{}
	for _, a := range l.accepted {
		ids[a.run] = true
	}
	return slices.Collect(maps.Keys(ids))
}

// lost are those of the runs that are not there.
func (l *lab) lost(t *testing.T, ids []string) []string {
	t.Helper()
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		_, err := l.store.Run(t.Context(), id)
		return !errors.Is(err, engine.ErrNotFound)
	})
}

// books waits for the end of all accepted runs and looks at each: none is lost, all ended well, each effect has one key.
func (l *load) books(t *testing.T) {
	t.Helper()
	l.end()
	if len(l.wrong) > 0 {
		t.Errorf("%d answers were neither accepted nor for the time being refused, the first: %v", len(l.wrong), l.wrong[0])
	}
	if l.slowest > callLimit {
		t.Errorf("an answer took %s", l.slowest)
	}
	ids := l.runs()
	if len(ids) != len(l.accepted) {
		t.Errorf("%d keys named %d runs", len(l.accepted), len(ids))
	}
	begun := time.Now()
	lost := l.lab.ended(t, ids)
	t.Logf("%d starts accepted, %d refused and repeated, slowest answer %s; all ended %s after the load", len(ids), l.refused,
		l.slowest.Round(10*time.Millisecond), time.Since(begun).Round(100*time.Millisecond))
	if len(lost) > 0 {
		t.Errorf("%d accepted runs are lost: %v", len(lost), lost)
	}
}

// ended waits until all runs have ended well, with each effect under one key, and returns those that are not there at all.
func (l *lab) ended(t *testing.T, ids []string) (lost []string) {
	t.Helper()
	left := slices.Clone(ids)
	inspector := asynq.NewInspectorFromRedisClient(l.client)
	redistest.Await(t, limitEnd, "the end of all runs", func(ctx context.Context) (bool, string) {
		last := ""
		left = slices.DeleteFunc(left, func(id string) bool {
			view, err := l.store.Run(ctx, id)
			if errors.Is(err, engine.ErrNotFound) {
				lost = append(lost, id)
				return true
			}
			if err != nil || !view.State.Ended() {
				last = fmt.Sprintf("%d runs are open, one: %s %s, %v", len(left), id, describe(view, inspector), err)
				return false
			}
			l.check(t, view)
			return true
		})
		return len(left) == 0, last
	})
	return lost
}

// check looks at the end of one run.
func (l *lab) check(t *testing.T, view dag.RunView) {
	t.Helper()
	if view.State != dag.RunSucceeded {
		t.Errorf("run %s is %s", view.ID, view.State)
	}
	effects := l.ledger.effects(view.ID)
	for _, s := range view.Steps {
		if effects[dag.EffectKey(view.ID, s.Name, 0)] == 0 {
			t.Errorf("run %s: step %s had no effect: %v", view.ID, s.Name, effects)
		}
	}
	if len(effects) != len(view.Steps) {
		t.Errorf("run %s: effects under other keys: %v", view.ID, effects)
	}
}

// describe tells where a run stands, and what asynq knows of the tasks of its open steps.
func describe(view dag.RunView, inspector *asynq.Inspector) string {
	var text strings.Builder
	text.WriteString(string(view.State))
	for _, s := range view.Steps {
		fmt.Fprintf(&text, " %s=%s/%d", s.Name, s.State, s.Epoch)
		if s.State == dag.StepPending || s.State.Settled() {
			continue
		}
		info, err := inspector.GetTaskInfo(s.Queue, dag.Delivery{Run: view.ID, Step: s.Name, Epoch: s.Epoch}.TaskID())
		if err != nil {
			fmt.Fprintf(&text, "(%v)", err)
			continue
		}
		fmt.Fprintf(&text, "(%s, %q)", info.State, info.LastErr)
	}
	return text.String()
}
