//go:build integration

package chaos_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stepwell/stepwell/test/chaos"
)

const (
	progressEvery = 5 * time.Second
	shownProblems = 5
)

// TestChaos is the proof: orders while everything breaks, judged by the outside world.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := seedFromEnv(t)
	orders := int(fromEnv(t, "SW_CHAOS_ORDERS", 300))
	rate := fromEnv(t, "SW_CHAOS_RATE", 6)
	for _, fsync := range []string{"always", "everysec"} {
		t.Run(fsync, func(t *testing.T) {
			t.Parallel()
			p := &profile{
				seed: seed, orders: orders, rate: rate, workers: 4, apis: 2, fsync: fsync,
				kinds: kinds(), hold: 700 * time.Millisecond, faults: faultsFor(orders),
			}
			o := perform(t, p)
			if len(o.report.Violations) > 0 {
				t.Errorf("%d violations: %s", len(o.report.Violations), firsts(o.report.Violations))
			}
			o.exact(t, p)
		})
	}
}

// outcome is what a performance came to.
type outcome struct {
	report  chaos.Report
	fleet   *fleet
	storm   *storm
	refused []string
}

// perform plays a profile and judges it.
func perform(t *testing.T, p *profile) outcome {
	t.Helper()
	t.Logf("seed %d, %d orders at %g a second", p.seed, p.orders, p.rate)
	begun := time.Now()
	f := newFleet(t, p)
	s := newStorm(f, p)
	customers := newShoppers(f.client, p)

	ctx, end := context.WithCancel(t.Context())
	defer end()
	released, watched := make(chan struct{}), make(chan struct{})
	go func() { defer close(released); f.client.release(ctx, p.hold) }()
	watching, unwatch := context.WithCancel(ctx)
	go func() { defer close(watched); progress(watching, t, f, s, customers) }()
	blown := make(chan struct{})
	go func() { defer close(blown); s.blow(ctx) }()
	customers.shop(ctx)
	<-blown
	stormy := time.Since(begun)
	runs, settled := f.settle(t, customers.orders, cmp.Or(p.patience, settleLimit))
	unwatch()
	<-watched
	end()
	<-released

	o := outcome{report: chaos.Check(f.evidence(t, customers.orders, runs)), fleet: f, storm: s, refused: customers.refused}
	o.print(t, p, customers, stormy, settled)
	return o
}

// progress says every few seconds how far things are.
func progress(ctx context.Context, t *testing.T, f *fleet, s *storm, customers *shoppers) {
	t.Helper()
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		ended, err := f.client.ended(ctx)
		said := strconv.Itoa(ended)
		if err != nil {
			said = "unknown"
		}
		t.Logf("%d of %d orders accepted, %s ended; %s", customers.accepted.Load(), len(customers.plan), said, s.done())
	}
}

// exact checks what the judge does not know: that the storm was as planned, that nobody was refused, that the books agree.
func (o *outcome) exact(t *testing.T, p *profile) {
	t.Helper()
	for _, err := range o.storm.problems {
		t.Errorf("the storm was not as planned: %v", err)
	}
	if done := o.storm.done(); done != p.faults {
		t.Errorf("the storm was not as planned: %s instead of %s", done, p.faults)
	}
	if len(o.refused) > 0 {
		t.Errorf("%d orders were refused, the first: %s", len(o.refused), o.refused[0])
	}
	all := p.fsync == "always" && o.report.Poisoned == 0
	for _, problem := range bookProblems(t, o.fleet, all) {
		t.Errorf("the books do not agree: %.600s", problem)
	}
	for _, line := range o.fleet.complaints(t) {
		t.Errorf("logged: %s", line)
	}
}

// print prints the table of counts.
func (o *outcome) print(t *testing.T, p *profile, customers *shoppers, stormy, settled time.Duration) {
	t.Helper()
	kills, cut := o.fleet.redis.deaths()
	_, alone, _ := o.fleet.died() // its error was told
	r, done := &o.report, o.storm.done()
	rows := []struct {
		what string
		n    any
	}{
		{"Redis writes its file", p.fsync},
		{"orders accepted", fmt.Sprintf("%d of %d", r.Accepted, p.orders)},
		{"tries answered by 503 or not at all", customers.again.Load()},
		{"runs succeeded", r.Succeeded},
		{"runs failed", r.Failed},
		{"of these as POISON, killed three times", r.Poisoned},
		{"lost with Redis's last second", r.Rolled},
		{"lost before anybody was told", r.Unheard},
		{"SIGKILLs of APIs and workers", done.kills},
		{"kills of Redis", len(kills)},
		{"bytes that Redis lost", cut},
		{"SIGSTOPs longer than the TTL", done.stops},
		{"connections cut, and delayed", fmt.Sprintf("%d, %d", done.cuts, done.delays)},
		{"processes that ended by themselves", len(alone)},
		{"crashes counted", r.Crashes},
		{"messages sent again", r.Resent},
		{"storm, and until the last run ended", fmt.Sprintf("%s, %s", stormy.Round(time.Second), settled.Round(time.Second))},
		{"violations", len(r.Violations)},
	}
	var b strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&b, "\n  %-44s %v", row.what, row.n)
	}
	for _, words := range alone[:min(len(alone), shownProblems)] {
		fmt.Fprintf(&b, "\n  ended by itself: %.300s", words)
	}
	t.Log(b.String())
}

// firsts shows the first few violations of each rule.
func firsts(all []chaos.Violation) string {
	shown := map[chaos.Rule]int{}
	var b strings.Builder
	for _, v := range all {
		if shown[v.Rule]++; shown[v.Rule] <= shownProblems {
			b.WriteString("\n  " + v.String())
		}
	}
	return b.String()
}

// broke tells whether a rule was broken.
func (o *outcome) broke(rule chaos.Rule) bool {
	return slices.ContainsFunc(o.report.Violations, func(v chaos.Violation) bool { return v.Rule == rule })
}
