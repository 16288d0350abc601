//go:build integration

package crashpoint_test

import (
	"cmp"
	"fmt"
	"maps"
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

// TestCrashPoints is the proof, and its controls beside it: most of the time goes by in waiting.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if o := s.play(t.Context(), t, trial{flow: flowDiamond}, func() {}); o.err != nil { // Redis learns all scripts
		t.Fatal(o.err)
	}
	for _, part := range []struct {
		name string
		test func(*testing.T, *stage)
	}{
		{"every point", everyPoint},
		{"without sweeper", withoutSweeper},
		{"without effect key", withoutKey},
		{"broken state", brokenState},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.test(t, s)
		})
	}
}

// everyPoint tries every point with SW_CRASHPOINTS=all. Otherwise, of points that differ only in the step, it draws one for each fault, always
// the same.
func everyPoint(t *testing.T, s *stage) {
	t.Helper()
	began := time.Now()
	var trials []trial
	points := 0
	flows := []string{flowLinear, flowDiamond}
	for i, recorded := range s.rehearse(t, flows) {
		flow, names := flows[i], make([]string, len(recorded))
		for i, p := range recorded {
			names[i] = p.String()
		}
		t.Logf("%s: %d points in this order:\n%s", flow, len(names), strings.Join(names, "\n"))
		points += len(recorded)
		trials = append(trials, cases(flow, recorded)...)
	}
	chosen := trials
	if os.Getenv(envPoints) != "all" {
		chosen = draw(trials)
	}
	outcomes := s.playAll(t, chosen)
	s.judge(t, outcomes)
	report(t, trials, outcomes)
	t.Logf("%d points, %d cases, %d of them tried, in %.0f s", points, len(trials), len(chosen), time.Since(began).Seconds())
}

// rehearse plays a run of each flow without faults and returns their points.
func (s *stage) rehearse(t *testing.T, flows []string, off ...string) [][]point {
	t.Helper()
	outcomes := make([]outcome, len(flows))
	var all sync.WaitGroup
	for i, flow := range flows {
		all.Go(func() { outcomes[i] = s.play(t.Context(), t, trial{flow: flow, late: true, off: off}, func() {}) })
	}
	all.Wait()
	s.addEffects(t, outcomes)
	points := make([][]point, len(flows))
	for i, o := range outcomes {
		if o.err != nil {
			t.Fatalf("%s without a fault: %v", o.flow, o.err)
		}
		points[i] = o.points
	}
	return points
}

// cases are all faults at all points.
func cases(flow string, points []point) []trial {
	var all []trial
	for _, p := range points {
		for f := range faultCount {
			if p.name == forwardTask && f == killBefore {
				continue
			}
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

// playAll plays trials side by side, those first that take long, and returns what became of each.
func (s *stage) playAll(t *testing.T, trials []trial) []outcome {
	t.Helper()
	order := make([]int, len(trials))
	for i := range order {
		order[i] = i
	}
	patience := func(i int) int {
		return slices.Index([]string{"fail", "asynq.retry", "begin", dequeueTask}, trials[i].aim.name)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(patience(b), patience(a)) })
	outcomes := make([]outcome, len(trials))
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for _, i := range order {
		slots <- struct{}{}
		all.Go(func() {
			var once sync.Once
			free := func() { once.Do(func() { <-slots }) }
			defer free()
			outcomes[i] = s.playUntilReached(t, trials[i], free)
		})
	}
	all.Wait()
	return outcomes
}

func (s *stage) playUntilReached(t *testing.T, tr trial, quiet func()) (o outcome) {
	t.Helper()
	for n := range maxTries {
		o = s.play(t.Context(), t, tr, quiet)
		o.tries = n + 1
		if o.reached || o.err != nil {
			break
		}
		tr.late = true // the point may be one of asynq's heartbeat
	}
	return o
}

// judge reports every case that went wrong, and faults that did not happen: a few may not, because loops do not keep step with the run, but
// every fault must have met everything that concerns the run.
func (s *stage) judge(t *testing.T, outcomes []outcome) {
	t.Helper()
	s.addEffects(t, outcomes)
	type meeting struct {
		name  string
		fault fault
	}
	hit, met := 0, map[meeting]bool{}
	for _, o := range outcomes {
		if o.err != nil {
			t.Errorf("%s: %v", &o.trial, o.err)
		}
		if o.reached {
			hit++
		}
		m := meeting{o.aim.name, o.aim.fault}
		met[m] = met[m] || o.reached || !o.aim.ofRun
	}
	if hit*100 < len(outcomes)*minHit {
		t.Errorf("%d of %d cases got to their fault, want %d %%", hit, len(outcomes), minHit)
	}
	for m, yes := range met {
		if !yes {
			t.Errorf("%s: no process was %s there", m.name, m.fault)
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
		if o.err == nil && o.run != "" && all[o.run] != want(o.flow) {
			o.err = fmt.Errorf("%w: run %s had %+v, want %+v", errEffects, o.run, all[o.run], want(o.flow))
		}
	}
}

// row is a line of the report.
type row struct {
	points                    map[point]bool
	tried, hit, failed, again int
	worst                     [faultCount]time.Duration // from the fault to the end of the run
}

func (r *row) add(o *outcome) {
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

// report logs what was tried, by kind.
func report(t *testing.T, all []trial, outcomes []outcome) {
	t.Helper()
	rows := map[string]*row{}
	rowOf := func(name string) *row {
		if rows[name] == nil {
			rows[name] = &row{points: map[point]bool{}}
		}
		return rows[name]
	}
	const sum = "~ all"
	for _, tr := range all {
		p := tr.aim.point
		p.step += " of " + tr.flow
		rowOf(p.name).points[p], rowOf(sum).points[p] = true, true
	}
	for i := range outcomes {
		rowOf(outcomes[i].aim.name).add(&outcomes[i])
		rowOf(sum).add(&outcomes[i])
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "kind\tpoints\tcases tried\thit\tfailed\trepeated\tworst s from fault to end: %s\t%s\t%s\t\n", killBefore, killAfter, loseReply)
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r := rows[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t\n", name, len(r.points), r.tried, r.hit, r.failed, r.again,
			r.worst[killBefore].Seconds(), r.worst[killAfter].Seconds(), r.worst[loseReply].Seconds())
	}
	_ = w.Flush() // into memory
	t.Log("\n" + text.String())
}
