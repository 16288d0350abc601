//go:build integration

package crashpoint_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

const (
	atOnce    = 12 // cases that are in their busy part
	maxTries  = 3  // of a case whose point was not reached
	minHit    = 95 // percent of the cases that were tried
	seed      = 4  // of the selection
	envPoints = "SW_CRASHPOINTS"
)

// TestEveryCrashPoint is the proof. SW_CRASHPOINTS=all tries every point; otherwise, of points that differ only in the step, one is drawn for
// each fault, always the same.
func TestEveryCrashPoint(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	began := time.Now()
	var trials []trial
	points := 0
	for _, flow := range []string{flowLinear, flowDiamond} {
		recorded := s.rehearse(t, flow)
		points += len(recorded)
		trials = append(trials, cases(flow, recorded)...)
	}
	if os.Getenv("DRY")!="" {return}
	chosen := trials
	if os.Getenv(envPoints) != "all" {
		chosen = draw(trials)
	}
	outcomes := s.playAll(t, chosen, maxTries)
	s.judge(t, outcomes)
	report(t, trials, outcomes)
	t.Logf("%d points, %d cases, %d of them tried, in %.0f s", points, len(trials), len(chosen), time.Since(began).Seconds())
}

// rehearse plays a run without faults twice, the first time for Redis to learn all scripts, and returns the points of the second.
func (s *stage) rehearse(t *testing.T, flow string) []point {
	t.Helper()
	var o outcome
	for range 2 {
		if o = s.play(t.Context(), t, trial{flow: flow, late: true}, func() {}); o.err != nil {
			t.Fatalf("%s without a fault: %v", flow, o.err)
		}
	}
	if err := s.effectsOf(t.Context(), &o); err != nil {
		t.Fatalf("%s without a fault: %v", flow, err)
	}
	names := make([]string, len(o.points))
	for i, p := range o.points {
		names[i] = p.String()
	}
	t.Logf("%s, run %s, %d points in this order:\n%s", flow, o.run, len(names), strings.Join(names, "\n"))
	return o.points
}

// effectsOf checks that a run had each effect once.
func (s *stage) effectsOf(ctx context.Context, o *outcome) error {
	all, err := s.effects(ctx)
	if err == nil && all[o.run] != want(o.flow) {
		err = fmt.Errorf("run %s had the effects %+v, want %+v", o.run, all[o.run], want(o.flow))
	}
	return err
}

// cases are all faults at all points.
func cases(flow string, points []point) []trial {
	var all []trial
	for _, p := range points {
		for f := range faultCount {
			all = append(all, trial{flow: flow, aim: &aim{p, f}, limit: endLimit})
		}
	}
	return all
}

// draw chooses one of the cases that differ only in the step, or in which of the tasks it was.
func draw(all []trial) []trial {
	type group struct {
		flow, name string
		nth        int
		fault      fault
	}
	var order []group
	groups := map[group][]trial{}
	for _, t := range all {
		g := group{t.flow, t.aim.name, t.aim.nth, t.aim.fault}
		if t.aim.name == dequeueTask {
			g.nth = 0
		}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], t)
	}
	random := rand.New(rand.NewPCG(seed, 0))
	chosen := make([]trial, 0, len(order))
	for _, g := range order {
		chosen = append(chosen, groups[g][random.IntN(len(groups[g]))])
	}
	return chosen
}

// playAll plays trials side by side, those first that take long.
func (s *stage) playAll(t *testing.T, trials []trial, tries int) []outcome {
	t.Helper()
	patience := func(t trial) int { return slices.Index([]string{"begin", dequeueTask}, t.aim.name) }
	trials = slices.Clone(trials)
	slices.SortStableFunc(trials, func(a, b trial) int { return cmp.Compare(patience(b), patience(a)) })
	outcomes := make([]outcome, len(trials))
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, tr := range trials {
		slots <- struct{}{}
		all.Go(func() {
			var once sync.Once
			free := func() { once.Do(func() { <-slots }) }
			defer free()
			for n := 1; n <= tries; n++ {
				outcomes[i] = s.play(t.Context(), t, tr, free)
				outcomes[i].tries = n
				if outcomes[i].reached || outcomes[i].err != nil {
					return
				}
				tr.late = true // the point may be one of asynq's heartbeat
			}
		})
	}
	all.Wait()
	return outcomes
}

// judge reports every case that went wrong, and faults that did not happen.
func (s *stage) judge(t *testing.T, outcomes []outcome) {
	t.Helper()
	s.addEffects(t, outcomes)
	hit := 0
	met, script := map[kind]map[fault]bool{}, map[kind]bool{}
	for _, o := range outcomes {
		if o.err != nil {
			t.Errorf("%s: %v", &o.trial, o.err)
		}
		k := kind{name: o.aim.name}
		if met[k] == nil {
			met[k] = map[fault]bool{}
		}
		script[k] = o.aim.isScript() || o.aim.writesQueue()
		if o.reached {
			hit++
			met[k][o.aim.fault] = true
		}
	}
	if hit*100 < len(outcomes)*minHit {
		t.Errorf("%d of %d cases got to their fault, want %d %%", hit, len(outcomes), minHit)
	}
	for k := range met {
		for f := range faultCount {
			if script[k] && !met[k][f] {
				t.Errorf("%s: no process was %s there", k, f)
			}
		}
	}
}

// addEffects adds what the outside world has to say to outcomes that are good so far.
func (s *stage) addEffects(t *testing.T, outcomes []outcome) {
	t.Helper()
	all, err := s.effects(t.Context())
	if err != nil {
		t.Error(err)
	}
	for i := range outcomes {
		o := &outcomes[i]
		if o.err == nil && o.reached && all[o.run] != want(o.flow) {
			o.err = fmt.Errorf("run %s had the effects %+v, want %+v", o.run, all[o.run], want(o.flow))
		}
	}
}

// report logs what was tried, by kind.
func report(t *testing.T, all []trial, outcomes []outcome) {
	t.Helper()
	type row struct {
		points, tried, hit, failed, again int
		worst                             [faultCount]time.Duration
	}
	rows := map[kind]*row{}
	row0 := &row{}
	of := func(tr *trial) []*row {
		k := kind{name: tr.aim.name}
		if rows[k] == nil {
			rows[k] = &row{}
		}
		return []*row{rows[k], row0}
	}
	for _, tr := range all {
		for _, r := range of(&tr) {
			r.points++
		}
	}
	for _, o := range outcomes {
		for _, r := range of(&o.trial) {
			r.tried++
			r.again += o.tries - 1
			if o.reached {
				r.hit++
			}
			if o.err != nil {
				r.failed++
			}
			r.worst[o.aim.fault] = max(r.worst[o.aim.fault], o.took)
		}
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "kind\tpoints\tcases tried\thit\tfailed\trepeated\tworst s from fault to end: %s\t%s\t%s\t\n", killBefore, killAfter, loseReply)
	line := func(name string, r *row) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t\n", name, r.points/int(faultCount), r.tried, r.hit, r.failed, r.again,
			r.worst[killBefore].Seconds(), r.worst[killAfter].Seconds(), r.worst[loseReply].Seconds())
	}
	names := make([]kind, 0, len(rows))
	for k := range rows {
		names = append(names, k)
	}
	slices.SortFunc(names, byKind)
	for _, k := range names {
		line(k.name, rows[k])
	}
	line("all", row0)
	_ = w.Flush() // into memory
	t.Log("\n" + text.String())
}
