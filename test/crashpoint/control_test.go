//go:build integration

package crashpoint_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// stuck is how long a control waits before it calls a run stuck. With the protection the same runs end in a third of it.
const stuck = 10 * time.Second

// verdict is what a control expects of a fault at a point.
type verdict struct {
	name  string
	nth   int
	fault fault
	fails bool
}

func (v verdict) String() string {
	return fmt.Sprintf("%s %s", point{kind{name: v.name}, v.nth}, v.fault)
}

// aim finds the point that a verdict is about among those recorded: of several steps the second, which has one before it and one after it.
func (v verdict) aim(points []point) (*aim, error) {
	var those []point
	for _, p := range points {
		if p.name == v.name && p.nth == v.nth {
			those = append(those, p)
		}
	}
	if len(those) == 0 {
		return nil, fmt.Errorf("%s: there is no such point", v)
	}
	return &aim{those[min(1, len(those)-1)], v.fault}, nil
}

// control plays faults without a protection. Each must end as its verdict says; meant is the error of those that fail.
func (s *stage) control(t *testing.T, off string, meant error, verdicts []verdict) {
	t.Helper()
	points := s.rehearse(t, []string{flowLinear}, off)[0] // without a fault nothing is missed
	trials := make([]trial, len(verdicts))
	for i, v := range verdicts {
		a, err := v.aim(points)
		if err != nil {
			t.Fatal(err)
		}
		trials[i] = trial{flow: flowLinear, aim: a, off: []string{off}, limit: stuck}
	}
	outcomes := s.playAll(t, trials)
	s.addEffects(t, outcomes)
	for i, o := range outcomes {
		switch {
		case !o.reached:
			t.Errorf("%s: not reached in %d runs: %v", verdicts[i], o.tries, o.err)
		case verdicts[i].fails && !errors.Is(o.err, meant):
			t.Errorf("%s: without %s want the error %q, got %v", verdicts[i], off, meant, o.err)
		case !verdicts[i].fails && o.err != nil:
			t.Errorf("%s: needs no %s: %v", verdicts[i], off, o.err)
		}
	}
}

// withoutSweeper takes the loops out: what a dead process left, and what a lost reply hid, nobody takes up.
func withoutSweeper(t *testing.T, s *stage) {
	t.Helper()
	s.control(t, offSweeper, errStuck, []verdict{
		{"create_run", 1, killBefore, false},
		{"create_run", 1, killAfter, false}, // it only says that the definition is to be sent along
		{"create_run", 1, loseReply, false},
		{"create_run", 2, killBefore, false},
		{"create_run", 2, killAfter, true},
		{"create_run", 2, loseReply, true}, // the repetition finds the run and hands nothing over
		{"asynq.enqueue", 1, killBefore, true},
		{"asynq.enqueue", 1, loseReply, false},
		{"begin", 1, killAfter, true},
		{"begin", 1, loseReply, false},
		{"complete", 1, killBefore, true},
		{"complete", 1, killAfter, true},
		{"complete", 1, loseReply, true}, // the same
	})
}

// withoutKey gives every attempt of the payment a key of its own.
func withoutKey(t *testing.T, s *stage) {
	t.Helper()
	s.control(t, offKey, errEffects, []verdict{
		{"outside gateway charge", 1, killBefore, false},
		{"outside gateway charge", 1, killAfter, true},
		{"outside gateway charge", 1, loseReply, true},
		{"outside database reserve", 1, killAfter, false},
	})
}

// brokenState breaks the state of a good run in ways that its view does not show, and expects each to be found.
func brokenState(t *testing.T, s *stage) {
	t.Helper()
	for what, breakIt := range map[string]func(p redis.Pipeliner, tag, run string){
		"agenda: nothing": func(p redis.Pipeliner, tag, run string) {
			p.ZAdd(t.Context(), tag+"agenda", redis.Z{Score: 1, Member: "send:" + run + ":create_order:1"})
		},
		"claims: nothing": func(p redis.Pipeliner, tag, run string) {
			p.ZAdd(t.Context(), tag+"claims", redis.Z{Score: 1, Member: run + ":create_order"})
		},
		"active is 1": func(p redis.Pipeliner, tag, run string) { p.HSet(t.Context(), tag+"run:"+run, "active", 1) },
		"want one": func(p redis.Pipeliner, tag, run string) {
			p.HSet(t.Context(), tag+"run:"+run[:len(run)-1]+"_", "state", "running") // no ID ends so
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			o := s.play(t.Context(), t, trial{flow: flowDiamond}, func() {})
			if o.err != nil {
				t.Fatal(o.err)
			}
			_, err := s.client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
				breakIt(p, "{"+o.prefix+":"+o.run[4:6]+"}:", o.run)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.sound(t.Context(), &o); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("want an error that says %q, got %v", what, err)
			}
		})
	}
}
