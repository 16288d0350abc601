package redisstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/test/redisdump"
)

// eachServer runs a test on every kind of server, with a story that has only its workflow.
func eachServer(t *testing.T, test func(st *story)) {
	t.Helper()
	graph, err := dag.Compile(storyWorkflow())
	if err != nil {
		t.Fatal(err)
	}
	for name, client := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&story{t: t, s: newSubject(t, client, redistest.Prefix(t)), graph: graph, now: enginetest.Epoch()})
		})
	}
}

// key is a key of partition 3f.
func (s *story) key(name, run string) string { return redisstore.Key(s.s.prefix, name, 0x3f, run) }

// plant changes keys behind the store's back.
func (s *story) plant(change func(context.Context, redis.Pipeliner)) {
	s.t.Helper()
	_, err := s.s.client.Pipelined(s.t.Context(), func(p redis.Pipeliner) error {
		change(s.t.Context(), p)
		return nil
	})
	s.ok("plant", err)
}

func (s *story) due() dag.Due {
	s.t.Helper()
	due, err := s.s.Due(s.t.Context(), 0x3f, dag.DueLimits{Entries: 100, Doubts: 100})
	s.ok("due", err)
	return due
}

// TestUnreadableEntriesAreNoObstacle plants entries that no release writes, and breaks keys under entries that one wrote: each is put off by an hour and
// reported, and the healthy run beside them is served.
func TestUnreadableEntriesAreNoObstacle(t *testing.T) {
	t.Parallel()
	const gone = "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZZ"
	elsewhere := strings.Replace(gone, "3f", "07", 1)
	eachServer(t, func(st *story) {
		t := st.t
		ctx := t.Context()
		st.create(ctx, runRunning, nil)
		st.create(ctx, runRetrying, nil)
		agenda := []string{
			"", "send", "send:" + gone + ":check:x", "send:" + elsewhere + ":check:1", "end:nothing", "purge:" + elsewhere, "later:" + gone, "end:" + gone + ":1",
			"send:" + runRetrying + ":check:1", // its steps are no hash
		}
		marks := []string{"claim", "nothing:check", gone + ":", elsewhere + ":check"}
		want := slices.Concat(agenda, marks, marks)
		st.plant(func(ctx context.Context, p redis.Pipeliner) {
			p.Del(ctx, st.key("steps", runRetrying))
			p.Set(ctx, st.key("steps", runRetrying), "no hash", 0)
			for _, member := range agenda {
				p.ZAdd(ctx, st.key("agenda", ""), redis.Z{Score: 1, Member: member})
			}
			for _, member := range marks {
				p.ZAdd(ctx, st.key("claims", ""), redis.Z{Score: 1, Member: member})
				p.ZAdd(ctx, st.key("doubts", ""), redis.Z{Score: 1, Member: member})
			}
		})
		st.wait(time.Second)
		due := st.due()
		var got []string
		for _, text := range due.Unreadable {
			member := slices.MaxFunc(want, func(a, b string) int { return matched(text, a) - matched(text, b) })
			got = append(got, member)
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("unreadable (-want +got):\n%s", diff)
		}
		if len(due.Sends) != 1 || due.Sends[0].Run != runRunning {
			t.Errorf("sends: %+v", due.Sends)
		}
		if again := st.due(); len(again.Unreadable) > 0 || len(again.Sends) != 1 {
			t.Errorf("put off, and there again: %+v", again)
		}
		st.wait(putOff)
		if again := st.due(); len(again.Unreadable) != len(want) {
			t.Errorf("%d of %d after an hour", len(again.Unreadable), len(want))
		}
	})
}

// putOff is for how long an unreadable entry stays away.
const putOff = time.Hour

// matched is how much of a report's beginning is a member and the colon after it.
func matched(text, member string) int {
	if !strings.HasPrefix(text, member+": ") {
		return -1
	}
	return len(member)
}

// TestRunWithoutItsDefinition loses a definition: everything about the run is put off, nothing fails, and it can still be purged.
func TestRunWithoutItsDefinition(t *testing.T) {
	t.Parallel()
	eachServer(t, func(st *story) {
		t := st.t
		ctx := t.Context()
		st.create(ctx, runScheduled, func(r *dag.NewRun) { r.Keep, r.KeepFailed = time.Minute, time.Minute })
		st.complete(ctx, st.begin(ctx, runScheduled, "check", 1, "n1"), `{}`)
		st.complete(ctx, st.begin(ctx, runScheduled, "charge", 1, "n2"), `{}`)
		st.complete(ctx, st.begin(ctx, runScheduled, "mail", 1, "n3"), `{}`)
		st.create(ctx, runRetrying, nil)
		st.create(ctx, runRunning, nil)
		st.begin(ctx, runRunning, "check", 1, "n4")
		st.create(ctx, runFailed, nil)
		st.ok("handed over", st.s.HandedOver(ctx, []dag.Delivery{{Run: runFailed, Step: "check", Epoch: 1}}))
		st.plant(func(ctx context.Context, p redis.Pipeliner) {
			keys, err := redisdump.Keys(ctx, st.s.client, st.s.prefix)
			st.ok("scan", err)
			for _, key := range keys {
				if strings.Contains(key, ":def:") {
					p.Del(ctx, key)
				}
			}
		})
		st.wait(2 * time.Hour)
		due := st.due()
		if len(due.Sends)+len(due.Ends)+len(due.Claims)+len(due.Doubts) > 0 || len(due.Purges) != 1 {
			t.Errorf("due: %+v", due)
		}
		if len(due.Unreadable) != 6 || strings.Contains(strings.Join(due.Unreadable, "\n"), runScheduled) { // three deadlines, a send, a claim, a doubt
			t.Errorf("unreadable:\n%s", strings.Join(due.Unreadable, "\n"))
		}
		if n, err := st.s.Purge(ctx, due.Purges); n != 1 || err != nil {
			t.Errorf("purged %d, %v", n, err)
		}
		page := auditAll(t, st)
		if page.Runs != 3 || len(page.Mismatches) != 3 {
			t.Errorf("audit: %+v", page)
		}
	})
}

// TestStraysAreDropped has doubts that nobody waits for, which a look removes.
func TestStraysAreDropped(t *testing.T) {
	t.Parallel()
	eachServer(t, func(st *story) {
		t := st.t
		ctx := t.Context()
		for _, run := range []string{runRunning, runRetrying} {
			st.create(ctx, run, nil)
			st.ok("handed over", st.s.HandedOver(ctx, []dag.Delivery{{Run: run, Step: "check", Epoch: 1}}))
		}
		st.begin(ctx, runRunning, "check", 1, "n1")
		st.plant(func(ctx context.Context, p redis.Pipeliner) {
			for _, member := range []string{runRunning + ":check", runRunning + ":mail", "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZZ:check"} {
				p.ZAdd(ctx, st.key("doubts", ""), redis.Z{Score: 1, Member: member})
			}
		})
		st.wait(30 * time.Second)
		due := st.due()
		if len(due.Doubts) != 1 || due.Doubts[0].Run != runRetrying || due.Doubts[0].Queue != "shop" || len(due.Unreadable) > 0 {
			t.Errorf("doubts: %+v, %s", due.Doubts, due.Unreadable)
		}
		left, err := st.s.client.ZRange(ctx, st.key("doubts", ""), 0, -1).Result()
		if diff := cmp.Diff([]string{runRetrying + ":check"}, left); diff != "" || err != nil {
			t.Errorf("doubts left (-want +got), %v:\n%s", err, diff)
		}
	})
}

// TestPurgeLeavesNothing ends runs in all three ways and purges them: no key and no member names them any more. A run that took over the idempotency
// key keeps its record, and one whose time has not come keeps everything.
func TestPurgeLeavesNothing(t *testing.T) {
	t.Parallel()
	eachServer(t, func(st *story) {
		t := st.t
		ctx := t.Context()
		kept := func(r *dag.NewRun) {
			r.Key, r.Fingerprint, r.Labels = "k-"+r.ID, "f", map[string]string{"channel": "web", "odd": "{x}:y"}
			r.Keep, r.KeepFailed = time.Minute, time.Minute
		}
		for _, run := range []string{runRetrying, runRunning, runFailed} {
			st.create(ctx, run, kept)
		}
		st.create(ctx, runScheduled, func(r *dag.NewRun) { kept(r); r.KeepFailed = time.Hour })
		st.complete(ctx, st.begin(ctx, runRetrying, "check", 1, "n1"), `{}`)
		for i, step := range []string{"charge", "mail"} {
			resolved, err := st.s.Resolve(ctx, dag.OperatorRequest{Run: runRetrying, Step: step, Nonce: fmt.Sprint("o", i), Output: json.RawMessage(`{}`)})
			if err != nil || resolved.Reply != dag.ReplyOK {
				t.Fatalf("resolve: %+v, %v", resolved, err)
			}
		}
		if cancelled, err := st.s.Cancel(ctx, dag.OperatorRequest{Run: runRunning, Nonce: "o"}); err != nil || cancelled.Run != dag.RunCancelled {
			t.Fatalf("cancel: %+v, %v", cancelled, err)
		}
		st.fail(ctx, st.begin(ctx, runFailed, "check", 1, "n2"), false, dag.StepFailed)
		st.fail(ctx, st.begin(ctx, runScheduled, "check", 1, "n3"), false, dag.StepFailed)
		const other = "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZY"
		st.plant(func(ctx context.Context, p redis.Pipeliner) {
			p.HSet(ctx, "{"+st.s.prefix+":3f}:idem:shop/order:k-"+runFailed, "run", other)
		})
		ended := []string{runRetrying, runRunning, runFailed, runScheduled}
		if n, err := st.s.Purge(ctx, ended); n != 0 || err != nil {
			t.Fatalf("purged %d before their time, %v", n, err)
		}
		st.wait(time.Minute)
		if due := st.due(); len(due.Purges) != 3 || due.Lag != 0 {
			t.Errorf("due: %+v", due)
		}
		before := dumpKeys(t, st.s)
		if n, err := st.s.Purge(ctx, append(ended, "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZZ")); n != 3 || err != nil {
			t.Fatalf("purged %d, %v", n, err)
		}
		after := dumpKeys(t, st.s)
		for _, run := range ended[:3] {
			here := strings.ReplaceAll(after, "k-"+run, "")
			if !strings.Contains(before, run) || strings.Contains(here, run) {
				t.Errorf("%s is still there:\n%s", run, here)
			}
		}
		for _, gone := range []string{"k-" + runRetrying, "k-" + runRunning} {
			if strings.Contains(after, gone) {
				t.Errorf("idempotency key %s is still there", gone)
			}
		}
		if !strings.Contains(after, "k-"+runFailed) || !strings.Contains(after, runScheduled) {
			t.Error("what belongs to another run is gone")
		}
	})
}

// TestPurgeGoesAroundWhatItCannotRead breaks the keys of two of three ended runs: the third is removed, and the others are put off by an hour, so that
// they do not fill the head of the agenda.
func TestPurgeGoesAroundWhatItCannotRead(t *testing.T) {
	t.Parallel()
	eachServer(t, func(st *story) {
		t := st.t
		ctx := t.Context()
		ended := []string{runRetrying, runRunning, runFailed}
		for _, run := range ended {
			st.create(ctx, run, func(r *dag.NewRun) { r.Keep = time.Minute })
			if cancelled, err := st.s.Cancel(ctx, dag.OperatorRequest{Run: run, Nonce: "o"}); err != nil || cancelled.Run != dag.RunCancelled {
				t.Fatalf("cancel: %+v, %v", cancelled, err)
			}
		}
		st.plant(func(ctx context.Context, p redis.Pipeliner) {
			for key, run := range map[string]string{"run": runRetrying, "steps": runRunning} {
				p.Del(ctx, st.key(key, run))
				p.Set(ctx, st.key(key, run), "no hash", 0)
			}
		})
		st.wait(time.Minute)
		if _, err := st.s.Purge(ctx, ended); err == nil {
			t.Error("no error tells of the broken runs")
		}
		if _, err := st.s.Run(ctx, runFailed); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("the sound run is still there: %v", err)
		}
		if due := st.due(); len(due.Purges) > 0 {
			t.Errorf("still at the head of the agenda: %v", due.Purges)
		}
		st.wait(putOff)
		if due := st.due(); len(due.Purges) != 2 {
			t.Errorf("after an hour: %v", due.Purges)
		}
	})
}

// auditAll reads all pages of partition 3f, two runs a page.
func auditAll(t *testing.T, st *story) dag.AuditPage {
	t.Helper()
	var all dag.AuditPage
	for cursor, pages := "", 0; ; pages++ {
		page, err := st.s.Audit(t.Context(), 0x3f, cursor, 2)
		st.ok("audit", err)
		all.Runs += page.Runs
		all.Mismatches = append(all.Mismatches, page.Mismatches...)
		if cursor = page.Next; cursor == "" || pages > 10 {
			return all
		}
	}
}

// TestAuditFindsWhatIsPlanted breaks one thing at a time.
func TestAuditFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	type plant func(context.Context, redis.Pipeliner, *story)
	field := func(name, run, field string, value any) plant {
		return func(ctx context.Context, p redis.Pipeliner, st *story) { p.HSet(ctx, st.key(name, run), field, value) }
	}
	add := func(name, member string) plant {
		return func(ctx context.Context, p redis.Pipeliner, st *story) {
			p.ZAdd(ctx, st.key(name, ""), redis.Z{Score: 7, Member: member})
		}
	}
	remove := func(name, member string) plant {
		return func(ctx context.Context, p redis.Pipeliner, st *story) { p.ZRem(ctx, st.key(name, ""), member) }
	}
	for what, plant := range map[string]plant{
		"":                                func(context.Context, redis.Pipeliner, *story) {},
		"counts 5 active steps":           field("run", runRunning, "active", 5),
		"counts 5 completed steps":        field("run", runRetrying, "completed", 5),
		"counts 5 steps":                  field("run", runScheduled, "total", 5),
		"is succeeded with 1 active":      field("run", runRunning, "state", "succeeded"),
		"is failed, with a deadline":      add("agenda", "end:"+runFailed),
		"without its deadline":            remove("agenda", "end:"+runRunning),
		"is running, without its lease":   remove("claims", runRunning+":check"),
		"without its lease":               field("steps", runRunning, "check:lease", 9),
		"is pending, with a claim":        add("claims", runRunning+":mail"),
		"without a send entry":            remove("agenda", "send:"+runScheduled+":check:1"),
		"is retrying, without a doubt":    remove("doubts", runRetrying+":charge"),
		"is succeeded, with a doubt":      add("doubts", runRetrying+":check"),
		"is retrying, with a send entry":  add("agenda", "send:"+runRetrying+":charge:1"),
		"is failed, and no dead letter":   remove("dlq", runFailed+":check"),
		"is pending, and a dead letter":   add("dlq", runFailed+":mail"),
		"listed as paused":                add("idx_paused", runFailed),
		"is not in the list of its state": remove("idx_failed", runFailed),
		"is not in the list of its workfl": func(ctx context.Context, p redis.Pipeliner, st *story) {
			p.Del(ctx, st.key("idx_workflow", "")+"shop/order")
		},
		"lists 3 runs, and 4 by state": remove("idx_all", runRunning),
		"there is no such run":         add("idx_all", "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZZ"),
		"must be a hash": func(ctx context.Context, p redis.Pipeliner, st *story) {
			p.Set(ctx, st.key("steps", runFailed), "x", 0)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			eachServer(t, func(st *story) {
				t := st.t
				tell(t, st.s)
				before := dumpKeys(t, st.s)
				if page := auditAll(t, st); page.Runs != 4 || len(page.Mismatches) > 0 || dumpKeys(t, st.s) != before {
					t.Fatalf("audit of what is well: %+v", page)
				}
				st.plant(func(ctx context.Context, p redis.Pipeliner) { plant(ctx, p, st) })
				page := auditAll(t, st)
				found := slices.ContainsFunc(page.Mismatches, func(m dag.Mismatch) bool { return strings.Contains(m.What, what) })
				if found != (what != "") {
					t.Errorf("audit: %+v", page.Mismatches)
				}
			})
		})
	}
}

// shares asks for every sweeper in turn.
func (s *story) shares(sweepers []string) [][]int {
	s.t.Helper()
	all := make([][]int, len(sweepers))
	for i, id := range sweepers {
		groups, err := s.s.Share(s.t.Context(), dag.SweeperInfo{ID: id, TTL: 15 * time.Second})
		s.ok("share", err)
		all[i] = groups
	}
	return all
}

// TestShare divides the groups: after two rounds each is with one sweeper and none has more than its share. Groups of a silent sweeper go over when its
// TTL has passed, those of one that left at once.
func TestShare(t *testing.T) {
	t.Parallel()
	eachServer(t, func(st *story) {
		t := st.t
		var sweepers []string
		for _, n := range []int{1, 2, 3, 17} {
			for len(sweepers) < n {
				sweepers = append(sweepers, fmt.Sprintf("s%02d", len(sweepers)))
			}
			st.shares(sweepers)
			checkShares(t, st.shares(sweepers))
		}
		held := st.shares(sweepers[:1])[0]
		if none, err := st.s.Share(t.Context(), dag.SweeperInfo{ID: sweepers[0], TTL: time.Hour, Left: true}); err != nil || len(none) > 0 {
			t.Errorf("one that left has %v, %v", none, err)
		}
		if took := st.shares(sweepers[16:])[0]; !slices.Equal(took, held) {
			t.Errorf("after one left: %v, want its %v", took, held)
		}
		st.wait(14 * time.Second)
		if got := st.shares(sweepers[1:2])[0]; len(got) != 1 {
			t.Errorf("within the TTL: %v", got)
		}
		st.wait(time.Second)
		if got := st.shares(sweepers[1:2])[0]; len(got) != engine.SweepGroups {
			t.Errorf("alone: %v", got)
		}
	})
}

func checkShares(t *testing.T, shares [][]int) {
	t.Helper()
	most := (engine.SweepGroups + len(shares) - 1) / len(shares)
	var all []int
	for _, groups := range shares {
		if len(groups) > most || !slices.IsSorted(groups) {
			t.Errorf("a share of %v among %d", groups, len(shares))
		}
		all = append(all, groups...)
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) != engine.SweepGroups || len(slices.Concat(shares...)) != engine.SweepGroups {
		t.Errorf("%d sweepers have %v", len(shares), shares)
	}
}

// TestDeadLettersThatAreRare looks for one letter among more than a page reads: the pages are empty, and their cursors lead to it.
func TestDeadLettersThatAreRare(t *testing.T) {
	t.Parallel()
	eachServer(t, func(st *story) {
		t := st.t
		st.create(t.Context(), runFailed, nil)
		st.fail(t.Context(), st.begin(t.Context(), runFailed, "check", 1, "n"), false, dag.StepFailed)
		const many = 2500
		st.plant(func(ctx context.Context, p redis.Pipeliner) {
			for i := range many {
				p.ZAdd(ctx, st.key("dlq", ""), redis.Z{Score: float64(st.now.UnixMilli() + int64(i/3)), Member: fmt.Sprintf("%s:step%d", runFailed, i)})
			}
		})
		q, pages, found := dag.DeadLetterQuery{Code: "CARD_BUSY", Limit: 10}, 0, 0
		for {
			page, err := st.s.DeadLetters(t.Context(), q)
			st.ok("dead letters", err)
			pages, found = pages+1, found+len(page.Letters)
			if q.Cursor = page.Next; q.Cursor == "" || pages > 5 {
				break
			}
		}
		if found != 1 || pages < 2 || pages > 3 {
			t.Errorf("%d letters on %d pages", found, pages)
		}
	})
}
