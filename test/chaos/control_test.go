//go:build integration

package chaos_test

import (
	"testing"
	"time"

	"github.com/stepwell/stepwell/test/chaos"
)

// TestControl takes out one protection at a time. The same judge must find the shop guilty then, and innocent with all of them.
func TestControl(t *testing.T) {
	t.Parallel()
	seed := seedFromEnv(t)
	for _, c := range []struct {
		name   string
		off    string
		faults faults
		want   chaos.Rule
	}{
		{"all protections", "", faults{kills: 4, stops: 2}, ""},
		{"no sweeper", offSweeper, faults{kills: 6}, chaos.Stuck},
		{"no fence", offFence, faults{}, chaos.Double},
		{"hand-over before commit", offOrder, faults{}, chaos.Early},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := &profile{
				seed: seed, orders: 40, rate: 3, workers: 2, apis: 1, fsync: "always",
				kinds: []kind{held(1)}, hold: 5 * time.Second, faults: c.faults, role: true, off: c.off,
			}
			if c.want == chaos.Stuck {
				p.patience = stuckLimit
			}
			if c.want == chaos.Double { // by a worker that sleeps until another has its steps for certain
				p.nap, p.hold = 3*ttl, 10*time.Second
			}
			o := perform(t, p)
			switch {
			case c.want == "":
				if len(o.report.Violations) > 0 {
					t.Errorf("with all protections %d violations: %s", len(o.report.Violations), firsts(o.report.Violations))
				}
				o.exact(t, p)
			case !o.broke(c.want):
				t.Errorf("nothing was found %s; found: %s", c.want, firsts(o.report.Violations))
			default:
				t.Logf("found guilty of %d violations: %s", len(o.report.Violations), firsts(o.report.Violations))
			}
		})
	}
}
