//go:build integration

package crashpoint_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/test/faultproxy"
	"github.com/stepwell/stepwell/test/redisdump"
)

const (
	upLimit  = 60 * time.Second        // for a process to come up and to get to the fault, beside many others
	settling = 1200 * time.Millisecond // after the end of a run: a round of every loop
	look     = 50 * time.Millisecond
	busy     = 6 * time.Second // after a fault a case costs little: it waits for leases to run out
)

// endLimit is the longest time from a fault to the end of the run. Most take the TTL and a second. A task that asynq believes to be in work comes
// back when asynq's lease of 30 s is over for 30 s and its scan, once a minute, finds it; then 5 s pass before it is delivered.
const endLimit = 180 * time.Second

// What may be wrong with a run.
var (
	errStuck   = errors.New("the run did not end")
	errEffects = errors.New("not every effect came once")
)

// trial is one run with one fault, or without.
type trial struct {
	flow  string
	aim   *aim // nil records
	late  bool // the run starts when asynq's heartbeat is near
	off   []string
	limit time.Duration // for the end of the run
}

func (t *trial) String() string {
	return fmt.Sprintf("%s: %s: %s", t.flow, t.aim.point, t.aim.fault)
}

// outcome is what became of a trial.
type outcome struct {
	trial
	run     string
	prefix  string
	reached bool // the fault happened
	tries   int
	took    time.Duration // from the fault to the end of the run
	points  []point       // recorded
	err     error
}

// lateness is the delay after which asynq's own heartbeat, each 5 s, falls into the middle of the run.
func lateness(flow string) time.Duration {
	if flow == flowDiamond {
		return 4700 * time.Millisecond
	}
	return 4500 * time.Millisecond
}

// refusal is the outside call that fails once in a run without faults: in the diamond an attempt fails, and is repeated.
func refusal(flow string) string {
	if flow == flowDiamond {
		return "gateway charge"
	}
	return ""
}

// play plays a trial. quiet is called when what remains is waiting.
func (s *stage) play(ctx context.Context, t *testing.T, tr trial, quiet func()) (o outcome) {
	t.Helper()
	o = outcome{trial: tr, prefix: redistest.Prefix(t)}
	proxy, err := faultproxy.Start(ctx, s.redis.URL)
	if err != nil {
		o.err = err
		return o
	}
	defer func() { o.err = errors.Join(o.err, proxy.Close()) }()
	steps := make([]string, 0, len(s.graphs[tr.flow].Nodes))
	for _, n := range s.graphs[tr.flow].Nodes {
		steps = append(steps, n.Name)
	}
	d := newDirector(steps, tr.aim, refusal(tr.flow))
	d.on(proxy)
	p := part{role: roleVictim, redis: proxy.URL(), prefix: o.prefix, flow: tr.flow, off: tr.off, director: d}
	if tr.late {
		p.delay = lateness(tr.flow)
	}
	ready := make(chan struct{})
	var victim *actor
	d.kill = func() { <-ready; _ = victim.process.Kill() }
	if victim, o.err = s.enter(p); o.err != nil {
		return o
	}
	close(ready)
	defer func() { _ = victim.process.Kill() }() // dead already, in most trials
	if tr.aim == nil {
		return s.record(ctx, o, victim)
	}
	if o.reached, o.err = victim.toFault(ctx); !o.reached || o.err != nil {
		return o
	}
	timer := time.AfterFunc(busy, quiet)
	defer timer.Stop()
	survivor := victim
	if tr.aim.fault != loseReply {
		p.role, p.redis, p.delay, p.director = roleSurvivor, s.redis.URL, 0, newDirector(steps, nil, "")
		if survivor, o.err = s.enter(p); o.err != nil {
			return o
		}
		defer func() { _ = survivor.process.Kill() }()
	}
	o.err = s.finish(ctx, &o, victim, survivor)
	return o
}

// record waits for the run and returns what was recorded.
func (s *stage) record(ctx context.Context, o outcome, victim *actor) outcome {
	_, o.err = victim.toFault(ctx)
	if o.err == nil {
		o.points = victim.director.recorded()
		o.run = <-victim.started
		o.err = s.sound(ctx, &o)
	}
	return o
}

// toFault waits for the fault; reached is false when the run ended without.
func (a *actor) toFault(ctx context.Context) (reached bool, err error) {
	defer a.director.setOpen(false)
	late := time.After(upLimit)
	select {
	case <-a.director.hit:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-late:
		return false, fmt.Errorf("neither the fault nor the end of the run within %s:\n%s", upLimit, a.process.Tail())
	case <-a.ended:
		late = time.After(settling)
	case <-a.process.Done():
		late = time.After(time.Second) // the fault that killed it is being reported
	}
	select {
	case <-a.director.hit:
		return true, nil
	case <-late:
	}
	select {
	case <-a.process.Done():
		return false, fmt.Errorf("the %s ended by itself:\n%s", a.role, a.process.Tail())
	default:
		return false, nil
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// finish waits for the run to end and checks it.
func (s *stage) finish(ctx context.Context, o *outcome, victim, survivor *actor) error {
	accepted := ""
	select {
	case accepted = <-victim.started:
	default:
	}
	o.run = accepted
	if survivor != victim || accepted == "" {
		select {
		case o.run = <-survivor.started:
		case <-time.After(upLimit):
			return fmt.Errorf("the start was not answered within %s:\n%s", upLimit, survivor.process.Tail())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if accepted != "" && o.run != accepted {
		return fmt.Errorf("run %s was accepted; the same start again gave %s", accepted, o.run)
	}
	deadline := victim.director.fired.Add(o.limit)
	for {
		state, err := s.client.HGet(ctx, "{"+o.prefix+":"+o.run[4:6]+"}:run:"+o.run, "state").Result()
		if err == nil && dag.RunState(state).Ended() {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w within %s: run %s: %s\n%s", errStuck, o.limit, o.run, s.describe(ctx, o), survivor.process.Tail())
		}
		wait(ctx, look)
	}
	o.took = time.Since(victim.director.fired)
	return s.sound(ctx, o)
}

// sound checks that there is one run, which succeeded, and that the state in Redis is in order.
func (s *stage) sound(ctx context.Context, o *outcome) error {
	state, err := redisdump.Read(ctx, s.client, o.prefix)
	if err != nil {
		return err
	}
	if runs := slices.Collect(maps.Keys(state.Runs)); len(runs) != 1 || runs[0] != o.run {
		return fmt.Errorf("runs %v, want one, %s", runs, o.run)
	}
	if state.Runs[o.run]["state"] != string(dag.RunSucceeded) {
		return fmt.Errorf("want succeeded: %s", s.describe(ctx, o))
	}
	if err := enginetest.Check(state, s.graphs[o.flow]); err != nil {
		return fmt.Errorf("state of run %s: %w", o.run, err)
	}
	return o.counted(state)
}

// counted checks how often steps were tried: a lost answer is no crash, and no failure unless a handler was told of it; only handlers that were
// killed or told so run again.
func (o *outcome) counted(state enginetest.State) error {
	var attempts, failures, crashes int
	for _, step := range state.Steps[o.run] {
		for name, n := range map[string]*int{"attempts": &attempts, "failures": &failures, "crashes": &crashes} {
			if step[name] != "" {
				v, err := strconv.Atoi(step[name])
				if err != nil {
					return fmt.Errorf("run %s: %s: %w", o.run, name, err)
				}
				*n += v
			}
		}
	}
	told, killed := 0, 1 // steps at most; whose process was killed while Redis seemed to be away counts no crash
	if o.flow == flowDiamond {
		told, killed = 1, 2
	}
	if o.aim == nil || o.aim.fault == loseReply {
		killed = 0
	}
	if o.aim != nil && o.aim.fault == loseReply && strings.HasPrefix(o.aim.name, "outside ") {
		told++
	}
	if failures > told || crashes > killed || attempts > len(state.Steps[o.run])+failures+killed {
		return fmt.Errorf("run %s: %d attempts, %d failures, %d crashes of %d steps; history:\n%s",
			o.run, attempts, failures, crashes, len(state.Steps[o.run]), strings.Join(state.Logs[o.run], "\n"))
	}
	return nil
}

// describe says how a run stands and what happened to it.
func (s *stage) describe(ctx context.Context, o *outcome) string {
	state, err := redisdump.Read(ctx, s.client, o.prefix)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s, agenda %v, claims %v, doubts %v, dead letters %v, history:\n%s", state.Runs[o.run]["state"],
		state.Agenda, state.Claims, state.Doubts, state.DLQ, strings.Join(state.Logs[o.run], "\n"))
}
