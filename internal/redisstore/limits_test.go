package redisstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// widest is the widest workflow that the limits allow: one step, all others after it, and one after them.
func widest(t *testing.T) *dag.Graph {
	t.Helper()
	w := &dag.Workflow{Namespace: "shop", Name: "wide", Version: "1.0.0", Steps: []dag.Step{{Name: "first", Handler: "shop.x"}}}
	last := dag.Step{Name: "last", Handler: "shop.x"}
	for i := range dag.MaxSteps - 2 {
		name := fmt.Sprintf("step_%s_%d", strings.Repeat("x", 40), i)
		w.Steps = append(w.Steps, dag.Step{Name: name, Handler: "shop.x", DependsOn: []string{"first"}})
		last.DependsOn = append(last.DependsOn, name)
	}
	w.Steps = append(w.Steps, last)
	graph, err := dag.Compile(w)
	if err != nil {
		t.Fatal(err)
	}
	return graph
}

// TestWidestRun takes a run of the most steps through every script that goes over many: created, fanned out, expired, retried, paused, resumed, joined,
// audited; and another through cancel.
func TestWidestRun(t *testing.T) {
	t.Parallel()
	for name, client := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSubject(t, unhurried(t, client), redistest.Prefix(t))
			st := &story{t: t, s: s, graph: widest(t), now: enginetest.Epoch()}
			ctx := t.Context()
			st.create(ctx, runRunning, nil)
			middle := st.graph.Nodes[1 : len(st.graph.Nodes)-1]
			begun := st.begin(ctx, runRunning, "first", 1, "n")
			fanned, err := s.Complete(ctx, dag.CompleteRequest{ClaimRef: begun, Output: json.RawMessage(`{}`)})
			st.settled("complete", fanned, err, dag.StepSucceeded)
			if len(fanned.Sends) != len(middle) {
				t.Fatalf("%d steps to hand over, want %d", len(fanned.Sends), len(middle))
			}
			var deliveries []dag.Delivery
			for i := range fanned.Sends {
				deliveries = append(deliveries, fanned.Sends[i].Delivery)
			}
			st.ok("handed over", s.HandedOver(ctx, deliveries))
			st.wait(2 * time.Hour)
			expired, err := s.Expire(ctx, runRunning)
			st.ok("expire", err)
			if expired.Run != dag.RunFailed {
				t.Fatalf("expire: %+v", expired)
			}
			page, err := s.DeadLetters(ctx, dag.DeadLetterQuery{Limit: 100})
			st.ok("dead letters", err)
			if len(page.Letters) != 100 || page.Next == "" {
				t.Errorf("page of %d dead letters, next %q", len(page.Letters), page.Next)
			}
			retried, err := s.Retry(ctx, dag.OperatorRequest{Run: runRunning, Nonce: "o"})
			st.ok("retry", err)
			if len(retried.Sends) != len(middle) {
				t.Fatalf("%d steps to hand over, want %d", len(retried.Sends), len(middle))
			}
			operate := func(verb func(context.Context, dag.OperatorRequest) (dag.Operated, error), nonce string) dag.Operated {
				t.Helper()
				done, err := verb(ctx, dag.OperatorRequest{Run: runRunning, Nonce: nonce})
				st.ok("operate "+nonce, err)
				if done.Reply != dag.ReplyOK {
					t.Fatalf("operate %s: %s", nonce, done.Reply)
				}
				return done
			}
			operate(s.Pause, "p")
			if resumed := operate(s.Resume, "r"); len(resumed.Sends) != len(middle) {
				t.Fatalf("%d steps to hand over, want %d", len(resumed.Sends), len(middle))
			}
			var joined dag.Settled
			for i := range middle {
				ref := st.begin(ctx, runRunning, middle[i].Name, 3, "n"+strconv.Itoa(i))
				joined, err = s.Complete(ctx, dag.CompleteRequest{ClaimRef: ref, Output: json.RawMessage(`{"n":` + strconv.Itoa(i) + `}`)})
				st.settled("complete", joined, err, dag.StepSucceeded)
			}
			if len(joined.Sends) != 1 {
				t.Fatalf("%d steps to hand over after all parents, want the last one", len(joined.Sends))
			}
			got, err := s.Begin(ctx, dag.BeginRequest{Delivery: joined.Sends[0].Delivery, Def: st.graph.Digest, Nonce: "l", Worker: "w", TTL: time.Minute})
			st.ok("begin", err)
			if len(got.Claim.Outputs) != len(middle) {
				t.Errorf("%d outputs of parents, want %d", len(got.Claim.Outputs), len(middle))
			}
			st.complete(ctx, got.Claim.ClaimRef, `{}`)
			view, err := s.Run(ctx, runRunning)
			st.ok("run", err)
			if view.State != dag.RunSucceeded || view.Progress.Percentage != 100 {
				t.Errorf("run is %s, %+v", view.State, view.Progress)
			}
			if page, err := s.Audit(ctx, 0x3f, "", 10); err != nil || page.Runs != 1 || len(page.Mismatches) > 0 {
				t.Errorf("audit: %+v, %v", page, err)
			}
			st.create(ctx, runScheduled, nil)
			if cancelled, err := s.Cancel(ctx, dag.OperatorRequest{Run: runScheduled, Nonce: "c"}); err != nil || cancelled.Run != dag.RunCancelled {
				t.Errorf("cancel: %+v, %v", cancelled, err)
			}
		})
	}
}

// unhurried is a client that waits for a slow server. The embedded one under the race detector takes seconds for a script, and one that is sent again
// answers differently.
func unhurried(t *testing.T, client redis.UniversalClient) redis.UniversalClient {
	t.Helper()
	slow := redis.NewClient(&redis.Options{Addr: client.(*redis.Client).Options().Addr, ReadTimeout: time.Minute})
	t.Cleanup(func() { _ = slow.Close() })
	return slow
}

// TestOddErrorsAreKept passes texts through scripts that read them as JSON.
func TestOddErrorsAreKept(t *testing.T) {
	t.Parallel()
	for name, client := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSubject(t, client, redistest.Prefix(t))
			graph, err := dag.Compile(storyWorkflow())
			if err != nil {
				t.Fatal(err)
			}
			st := &story{t: t, s: s, graph: graph}
			for i, text := range []string{
				"nul \x00 inside", "bell \a, line \u2028, text \\u0000", `quote " and back \ and </script>`, "\xff\xfe bad", "emoji 😀 \U0010ffff", "", "'} ]]--",
				strings.Repeat("[", 2000),
			} {
				id := dag.NewRunID(i, "01J9Z0K3V8Q6S5T4R3W2X1Y0ZA")
				st.create(t.Context(), id, nil)
				ref := st.begin(t.Context(), id, "check", 1, "n")
				got, err := s.Fail(t.Context(), dag.FailRequest{ClaimRef: ref, Error: dag.StepError{Code: "C" + text, Message: text, Stack: text}})
				st.settled("fail", got, err, dag.StepFailed)
				view, err := s.Run(t.Context(), id)
				st.ok("run", err)
				want := strings.ToValidUTF8(text, "\ufffd\ufffd")
				if e := view.Steps[0].Error; e == nil || e.Message != want || e.Stack != want {
					t.Errorf("error %+v, want message %q", e, want)
				}
				log, err := s.Log(t.Context(), id)
				st.ok("log", err)
				if len(log) < 3 || log[2].Message != want {
					t.Errorf("log %+v, want message %q", log, want)
				}
				retried, err := s.Retry(t.Context(), dag.OperatorRequest{Run: id, Nonce: "o", Reason: text, Actor: text})
				st.ok("retry", err)
				if retried.Reply != dag.ReplyOK {
					t.Errorf("retry: %s", retried.Reply)
				}
			}
		})
	}
}
