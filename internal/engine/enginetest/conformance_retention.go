package enginetest

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

func retentionScenarios() []scenario {
	return []scenario{
		{"purge/all that belongs to the run", purgeAll},
		{"purge/each end has its time", purgeEnds},
		{"purge/only what is to go", purgeOnly},
		{"purge/a run that was opened again", purgeOpened},
		{"purge/its key is free", purgeKey},
		{"due/purges do not lag", duePurges},
		{"audit/page by page", auditPages},
		{"share/evenly", shareEvenly},
		{"share/of one that went silent or left", shareGone},
	}
}

func purgeAll(s *script) {
	s.start(compile(s.t, "purge", "a", "b", "c<a,b"), func(r *dag.NewRun) {
		r.Key, r.Fingerprint, r.Labels, r.KeepFailed = "k", "f", map[string]string{"x": "y", "z": ""}, time.Hour
	})
	s.finish("a")
	s.breaks("b", false)
	s.advance(time.Hour)
	s.want("purged", s.purge(s.run), 1)
	s.want("nothing is left", s.state, NewState())
}

func purgeEnds(s *script) {
	keep := func(r *dag.NewRun) { r.Keep, r.KeepFailed = time.Hour, 2*time.Hour }
	g := compile(s.t, "purgeends", "a")
	want := map[string]int64{}
	ends := func(do func(), after time.Duration) {
		s.start(g, keep)
		do()
		if after > 0 {
			want["purge:"+s.run] = s.ms(after)
		}
		s.want("agenda", s.state.Agenda, want)
	}
	ends(func() { s.finish("a") }, time.Hour)
	ends(func() { s.breaks("a", false) }, 2*time.Hour)
	ends(func() { s.cancels() }, time.Hour)
	ends(func() { s.skip(s.operator("a")) }, time.Hour)
	ends(func() { s.bury(s.archived("a")) }, 2*time.Hour)
	keep = func(r *dag.NewRun) { r.Keep = time.Hour }
	ends(func() { s.breaks("a", false) }, 0)
	s.advance(90 * time.Minute)
	due := s.due(5, 10)
	s.want("due", len(due.Purges), 3)
	s.want("purged", s.purge(due.Purges...), 3)
	s.want("left", len(s.state.Runs), 3)
}

func purgeOnly(s *script) {
	s.start(compile(s.t, "purgeonly", "a"), func(r *dag.NewRun) { r.Keep = time.Hour })
	kept := func(what string) {
		s.t.Helper()
		before := s.state
		s.want(what, s.purge(s.run), 0)
		s.want(what+": state", s.state, before)
	}
	kept("open")
	s.finish("a")
	s.advance(time.Hour - time.Millisecond)
	kept("too early")
	first := s.run
	s.start(s.graph, nil)
	s.finish("a")
	s.advance(time.Hour)
	kept("for ever")
	s.want("no run", s.purge(dag.NewRunID(6, "00000000000000000000000ZZZ")), 0)
	s.want("none", s.purge(), 0)
	s.want("some of many", s.purge(s.run, first, first), 1)
	s.want("left", slices.Collect(maps.Keys(s.state.Runs)), []string{s.run})
}

func purgeOpened(s *script) {
	s.start(compile(s.t, "purgeopened", "a"), func(r *dag.NewRun) { r.KeepFailed = time.Hour })
	s.breaks("a", false)
	s.advance(time.Hour)
	s.want("due", s.due(5, 10).Purges, []string{s.run})
	s.retry(s.operator("a"))
	s.want("not any more", s.due(5, 10), dag.Due{Now: s.now})
	s.want("purged", s.purge(s.run), 0)
	s.breaks("a", false)
	s.want("from the last end", s.state.Agenda, map[string]int64{"purge:" + s.run: s.ms(time.Hour)})
}

func purgeKey(s *script) {
	g := compile(s.t, "purgekey", "a")
	keyed := func(r *dag.NewRun) { r.Key, r.Fingerprint, r.Keep = "k", "f", time.Minute }
	s.start(g, keyed)
	first := s.run
	s.finish("a")
	s.advance(time.Minute)
	s.want("purged", s.purge(first), 1)
	s.start(g, keyed)
	s.want("another run", s.run != first, true)
	s.want("old run", s.purge(first), 0)
	s.want("key", s.state.Idem["test/purgekey:k"]["run"], s.run)
	s.want("a task of the old one", s.begin(dag.BeginRequest{
		Delivery: dag.Delivery{Run: first, Step: "a", Epoch: 1}, Def: g.Digest, Nonce: "n", Worker: worker, TTL: ttl,
	}), dag.Begun{Verdict: dag.VerdictNoRun})
}

func duePurges(s *script) {
	g := compile(s.t, "duepurges", "a")
	s.start(g, func(r *dag.NewRun) { r.Keep = time.Second })
	s.finish("a")
	ended := s.run
	s.advance(5 * time.Second)
	s.want("waits", s.waiting().Partitions, []int{5})
	s.want("nobody waits for it", s.due(5, 10), dag.Due{Now: s.now, Purges: []string{ended}})
	s.want("stats", s.stats().Lag, time.Duration(0))
	s.start(g, nil)
	s.advance(3 * time.Second)
	due := s.due(5, 10)
	s.want("the send", []any{due.Lag, names(due.Sends), due.Purges}, []any{2 * time.Second, []string{"a"}, []string{ended}})
	s.want("stats", s.stats().Lag, 2*time.Second)
}

func auditPages(s *script) {
	s.want("nothing", s.audit(5, 10), dag.AuditPage{})
	s.held("audit")
	s.everyRun(func(dag.RunState) {})
	s.start(compile(s.t, "auditelsewhere", "a"), func(r *dag.NewRun) { r.ID = dag.NewRunID(6, "0000000000000000000000000X") })
	s.breaks("a", false)
	for _, limit := range []int{1, 3, 8, 100} {
		s.want("pages of "+strconv.Itoa(limit), s.audit(5, limit), dag.AuditPage{Runs: 8})
	}
	s.want("elsewhere", s.audit(6, 1), dag.AuditPage{Runs: 1})
}

func shareEvenly(s *script) {
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	s.want("groups", len(all), engine.SweepGroups)
	s.want("alone", s.share("one", false), all)
	s.want("all are taken", s.share("two", false), []int{})
	s.want("one gives", s.share("one", false), all[:8])
	s.want("two takes", s.share("two", false), all[8:])
	s.want("a third finds none", s.share("three", false), []int{})
	s.want("one gives", s.share("one", false), all[:6])
	s.want("two gives", s.share("two", false), all[8:14])
	s.want("the third takes", s.share("three", false), []int{6, 7, 14, 15})
	s.want("nothing changes", s.share("one", false), all[:6])
}

func shareGone(s *script) {
	s.share("one", false)
	s.advance(ttl / 2)
	s.share("two", false)
	s.share("one", false)
	s.share("two", false)
	s.advance(ttl)
	s.share("two", false)
	s.want("one is silent", len(s.share("two", false)), 16)
	s.want("it comes back", s.share("one", false), []int{})
	s.share("two", false)
	s.want("and takes", len(s.share("one", false)), 8)
	s.want("one leaves", s.share("one", true), []int{})
	s.want("at once", len(s.share("two", false)), 16)
	s.want("left before", s.share("one", true), []int{})
}
