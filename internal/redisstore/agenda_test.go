package redisstore_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// TestDueAfterARollBack leaves entries behind that nothing waits for, as a server does that lost its last writes.
func TestDueAfterARollBack(t *testing.T) {
	t.Parallel()
	for name, client := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSubject(t, client, redistest.Prefix(t))
			st := tell(t, s)
			const gone = "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZZ"
			agenda, claims := redisstore.Key(s.prefix, "agenda", 0x3f, ""), redisstore.Key(s.prefix, "claims", 0x3f, "")
			for key, member := range map[string]string{agenda: "send:" + gone + ":check:1", claims: gone + ":check"} {
				if err := client.ZAdd(t.Context(), key, redis.Z{Score: 1, Member: member}).Err(); err != nil {
					t.Fatal(err)
				}
			}
			if err := client.ZAdd(t.Context(), claims, redis.Z{Score: 2, Member: runFailed + ":check"}).Err(); err != nil {
				t.Fatal(err)
			}
			due, err := s.Due(t.Context(), 0x3f, dag.DueLimits{Entries: 100})
			if err != nil {
				t.Fatal(err)
			}
			want := dag.Due{
				Now: st.now, Lag: time.Duration(st.now.UnixMilli()-1) * time.Millisecond,
				Stale: []dag.Delivery{{Run: gone, Step: "check", Epoch: 1}},
				Claims: []dag.DeadClaim{{
					ClaimRef: dag.ClaimRef{Run: runRunning, Step: "check", Def: st.graph.Digest, Nonce: "n3"},
					Workflow: "shop/order",
					Epoch:    1, Worker: "w1", Lease: enginetest.Epoch().Add(20*time.Second + 20*time.Millisecond),
				}},
			}
			if diff := cmp.Diff(want, due); diff != "" {
				t.Errorf("due (-want +got):\n%s", diff)
			}
			left, err := client.ZRange(t.Context(), claims, 0, -1).Result()
			if diff := cmp.Diff([]string{runRunning + ":check"}, left); diff != "" || err != nil {
				t.Errorf("claims left (-want +got), %v:\n%s", err, diff)
			}
			checkWaiting(t, s)
			if err := s.HandedOver(t.Context(), due.Stale); err != nil {
				t.Fatal(err)
			}
			if due, err = s.Due(t.Context(), 0x3f, dag.DueLimits{Entries: 100}); err != nil || len(due.Stale) > 0 || due.Lag != 0 {
				t.Errorf("after the stale one was dropped: %+v, %v", due, err)
			}
		})
	}
}

// checkWaiting compares Waiting with what Due says of every partition.
func checkWaiting(t *testing.T, s *subject) {
	t.Helper()
	var want []int
	for p := range dag.Partitions {
		due, err := s.Due(t.Context(), p, dag.DueLimits{Entries: 10, Doubts: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(due.Sends)+len(due.Stale)+len(due.Ends)+len(due.Purges)+len(due.Claims)+len(due.Doubts)+len(due.Unreadable) > 0 {
			want = append(want, p)
		}
	}
	got, clocks, err := s.Waiting(t.Context())
	if err != nil || !slices.Equal(got, want) || len(clocks) != dag.Partitions || clocks[0].IsZero() {
		t.Errorf("waiting %v at %s, %v; want %v", got, clocks, err, want)
	}
}

// tripCounter counts what a client waits for.
type tripCounter struct{ trips int }

func (*tripCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *tripCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.trips++
		return next(ctx, cmd)
	}
}

func (c *tripCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.trips++
		return next(ctx, cmds)
	}
}

// TestDueIsQuick pins the round trips of a look at a partition: one when nothing waits, three when a send, a deadline, a purge, a dead claim
// and a doubt do.
func TestDueIsQuick(t *testing.T) {
	t.Parallel()
	client, counter := connect(t, redistest.URL(t)), &tripCounter{}
	s := newSubject(t, client, redistest.Prefix(t))
	graph, err := dag.Compile(storyWorkflow())
	if err != nil {
		t.Fatal(err)
	}
	st := &story{t: t, s: s, graph: graph, now: enginetest.Epoch()}
	for _, run := range []string{runRunning, runRetrying, runScheduled, runFailed} {
		st.create(t.Context(), run, func(r *dag.NewRun) { r.KeepFailed = time.Second })
	}
	client.AddHook(counter)
	trips := func(what string, want int, do func() error) {
		t.Helper()
		counter.trips = 0
		if err := do(); err != nil || counter.trips != want {
			t.Errorf("%s: %d round trips, want %d; %v", what, counter.trips, want, err)
		}
	}
	due := func() error { _, err := s.Due(t.Context(), 0x3f, dag.DueLimits{Entries: 100, Doubts: 100}); return err }
	waiting := func() error { _, _, err := s.Waiting(t.Context()); return err }
	trips("idle", 1, due)
	trips("idle, all", 1, waiting)
	st.begin(t.Context(), runRunning, "check", 1, "n1")
	st.fail(t.Context(), st.begin(t.Context(), runFailed, "check", 1, "n2"), false, dag.StepFailed)
	st.ok("handed over", s.HandedOver(t.Context(), []dag.Delivery{{Run: runRetrying, Step: "check", Epoch: 1}}))
	st.wait(time.Hour)
	found := st.due()
	if len(found.Sends) != 1 || len(found.Ends) != 3 || len(found.Purges) != 1 || len(found.Claims) != 1 || len(found.Doubts) != 1 {
		t.Errorf("due: %+v", found)
	}
	trips("due", 3, due)
	trips("all", 1, waiting)
	trips("purge", 2, func() error { _, err := s.Purge(t.Context(), found.Purges); return err })
}
