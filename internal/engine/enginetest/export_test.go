package enginetest

import (
	"context"
	"fmt"
	"maps"
	"runtime"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Break wraps OpenMemory into a store with a known fault, for negative controls.
func Break(how string) Open {
	return func(t TB) Subject {
		m := memorySubject{NewMemory(Epoch())}
		switch how {
		case "complete ignores the nonce":
			return anyNonce{m}
		case "settle counts twice":
			return doubleSettle{m}
		case "release forgets the send":
			return noSend{m}
		case "retry forgets its request":
			return forgetful{m}
		case "begin takes a late claim over":
			return greedy{m}
		case "expire leaves the claim":
			return leftover{m}
		case "a late heartbeat loses":
			return strict{m}
		case "the end test is missed in a paused run":
			return endless{m}
		case "pause leaves the send":
			return sending{m}
		case "resume forgets the time left":
			return timeless{m}
		case "cancel leaves pending steps":
			return halfCancelled{m}
		case "skip settles twice":
			return doubleSkip{m}
		case "resolve loses the output":
			return lossy{m}
		case "bury ignores the state":
			return digger{m}
		case "a look is remembered for the next epoch":
			return staleLook{m}
		case "purge leaves the dead letter":
			return untidy{m}
		case "purge takes a run that was opened again":
			return eager{m}
		case "share takes what another has":
			return grabbing{m}
		}
		t.Fatalf("no fault is called %q", how)
		return nil
	}
}

// Faults lists what Break knows.
func Faults() []string {
	return []string{
		"complete ignores the nonce", "settle counts twice", "release forgets the send", "retry forgets its request",
		"begin takes a late claim over", "expire leaves the claim", "a late heartbeat loses", "the end test is missed in a paused run",
		"pause leaves the send", "resume forgets the time left", "cancel leaves pending steps", "skip settles twice", "resolve loses the output",
		"bury ignores the state", "a look is remembered for the next epoch", "purge leaves the dead letter",
		"purge takes a run that was opened again", "share takes what another has",
	}
}

// change lets a broken store reach into the memory.
func (m memorySubject) change(run string, f func(c *change)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.open(run); ok {
		f(c)
	}
}

type anyNonce struct{ memorySubject }

func (s anyNonce) Complete(ctx context.Context, req dag.CompleteRequest) (dag.Settled, error) {
	s.change(req.Run, func(c *change) {
		if st := c.step(req.Step); st.state == dag.StepRunning {
			st.claim = req.Nonce
		}
	})
	return s.memorySubject.Complete(ctx, req)
}

type doubleSettle struct{ memorySubject }

func (s doubleSettle) Complete(ctx context.Context, req dag.CompleteRequest) (dag.Settled, error) {
	got, err := s.memorySubject.Complete(ctx, req)
	if got.Reply == dag.ReplyOK {
		s.change(req.Run, func(c *change) { c.settle(c.step(req.Step), dag.OutcomeOK) })
	}
	return got, err
}

type noSend struct{ memorySubject }

func (s noSend) Release(ctx context.Context, ref dag.ClaimRef) (dag.Settled, error) {
	got, err := s.memorySubject.Release(ctx, ref)
	for _, send := range got.Sends {
		s.change(ref.Run, func(c *change) { delete(c.agenda, c.sendMember(c.step(send.Step))) })
	}
	return got, err
}

type forgetful struct{ memorySubject }

func (s forgetful) Retry(ctx context.Context, req dag.OperatorRequest) (dag.Operated, error) {
	got, err := s.memorySubject.Retry(ctx, req)
	s.change(req.Run, func(c *change) { c.run.ops = nil })
	return got, err
}

type greedy struct{ memorySubject }

func (s greedy) Begin(ctx context.Context, req dag.BeginRequest) (dag.Begun, error) {
	s.change(req.Run, func(c *change) {
		if st := c.step(req.Step); st.state == dag.StepRunning && st.lease <= c.now && st.claim != req.Nonce {
			st.state = dag.StepQueued
		}
	})
	return s.memorySubject.Begin(ctx, req)
}

type leftover struct{ memorySubject }

func (s leftover) Expire(ctx context.Context, run string) (dag.Expired, error) {
	var claims zset
	s.change(run, func(c *change) {
		claims = maps.Clone(c.claims)
	})
	got, err := s.memorySubject.Expire(ctx, run)
	s.change(run, func(c *change) {
		maps.Copy(c.claims, claims)
	})
	return got, err
}

type strict struct{ memorySubject }

func (s strict) Heartbeat(ctx context.Context, req dag.HeartbeatRequest) (dag.Beat, error) {
	late := false
	s.change(req.Run, func(c *change) { late = c.step(req.Step).holds(req.Nonce) && c.step(req.Step).lease < c.now })
	if late {
		return dag.Beat{Lost: true, Run: dag.RunRunning}, nil
	}
	return s.memorySubject.Heartbeat(ctx, req)
}

type endless struct{ memorySubject }

func (s endless) Complete(ctx context.Context, req dag.CompleteRequest) (dag.Settled, error) {
	paused := false
	s.change(req.Run, func(c *change) { paused = c.run.state == dag.RunPaused })
	got, err := s.memorySubject.Complete(ctx, req)
	if paused && got.Run.Ended() && got.Reply == dag.ReplyOK {
		s.change(req.Run, func(c *change) { c.run.state, c.run.finishedAt = dag.RunPaused, 0 })
	}
	return got, err
}

// recorder is a TB whose failure ends the goroutine and not the test.
type recorder struct {
	TB
	failure string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure runs f with a TB of its own and returns what it failed with, or "".
func failure(t TB, f func(t TB)) string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.failure
}

// FailingScenarios plays every scenario and returns the names of those that fail.
func FailingScenarios(t TB, open Open) []string {
	var failed []string
	for _, sc := range scenarios() {
		if failure(t, func(t TB) { sc.run(t, open) }) != "" {
			failed = append(failed, sc.name)
		}
	}
	return failed
}

// FirstFailure plays random plans until one fails and returns how many it took and what it failed with.
func FirstFailure(t TB, open map[string]Open, limit int) (tried int, text string) {
	for seed := range limit {
		p := plans().Example(seed)
		if text := failure(t, func(t TB) { p.play(t, open, map[string]int{}) }); text != "" {
			return seed + 1, text
		}
	}
	return limit, ""
}
