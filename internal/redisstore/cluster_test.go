package redisstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// TestCluster makes every call on a cluster of one node. A node refuses a script whose keys are of more than one slot, or that touches keys of
// another slot than its declared ones.
func TestCluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	client := connect(t, redistest.StartCluster(t, 1, false, time.Minute).URL)
	store, err := redisstore.Open(ctx, client, redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := store.Info(ctx); err != nil || info.Mode != "cluster" || info.UsedMemory == 0 {
		t.Errorf("info %+v, %v", info, err)
	}
	graph, err := dag.Compile(storyWorkflow())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutWorkflow(ctx, dag.Registration{Workflow: storyWorkflow(), Digest: graph.Digest}, false); err != nil {
		t.Error(err)
	}
	if err := store.PutWorker(ctx, dag.WorkerInfo{ID: "w"}, false); err != nil {
		t.Error(err)
	}
	var sends []dag.Delivery
	for p := range 4 {
		id := dag.NewRunID(p, "01J9Z0K3V8Q6S5T4R3W2X1Y0ZA")
		created, err := store.CreateRun(ctx, dag.NewRun{
			ID: id, Graph: graph, Key: "k", Fingerprint: "f", Input: json.RawMessage(`{}`), Timeout: time.Millisecond, Keep: time.Millisecond, Labels: map[string]string{"a": "{b}"},
		})
		if err != nil || len(created.Sends) != 1 {
			t.Fatalf("create: %+v, %v", created, err)
		}
		sends = append(sends, created.Sends[0].Delivery)
	}
	if err := store.HandedOver(ctx, sends[:3]); err != nil {
		t.Error(err)
	}
	if err := store.Later(ctx, sends[3], 0); err != nil {
		t.Error(err)
	}
	clusterVerbs(t, store, graph, sends)
}

// TestForgottenScriptBesideADeadMaster has a master that forgot all scripts, as after a failover, while another one is away: only the partitions of
// that one are out of reach.
func TestForgottenScriptBesideADeadMaster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cluster := redistest.StartCluster(t, 2, false, time.Minute)
	one := redistest.Client(t, cluster.Masters[0])
	client := connect(t, cluster.URL)
	store, err := redisstore.Open(ctx, client, redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Masters[1].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := one.ScriptFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	for p := range dag.Partitions {
		slot, err := one.ClusterKeySlot(ctx, redisstore.Key("sw", "agenda", p, "")).Result()
		if err != nil {
			t.Fatal(err)
		}
		if slot > 8191 {
			continue
		}
		if _, err := store.Due(ctx, p, dag.DueLimits{Entries: 1}); err != nil {
			t.Errorf("partition %02x on the master that is there: %v", p, err)
		}
		break
	}
}

func clusterVerbs(t *testing.T, store *redisstore.Store, graph *dag.Graph, sends []dag.Delivery) {
	t.Helper()
	ctx := t.Context()
	claim := func(d dag.Delivery, nonce string, ttl time.Duration) dag.ClaimRef {
		t.Helper()
		begun, err := store.Begin(ctx, dag.BeginRequest{Delivery: d, Def: graph.Digest, Nonce: nonce, Worker: "w", TTL: ttl})
		if err != nil || begun.Verdict != dag.VerdictRun {
			t.Fatalf("begin: %+v, %v", begun, err)
		}
		return begun.Claim.ClaimRef
	}
	ok := func(what string, reply dag.Reply, err error) {
		t.Helper()
		if err != nil || reply != dag.ReplyOK {
			t.Errorf("%s: %s, %v", what, reply, err)
		}
	}
	ref := claim(sends[0], "n0", time.Minute)
	if beat, err := store.Heartbeat(ctx, dag.HeartbeatRequest{ClaimRef: ref, TTL: time.Minute}); err != nil || beat.Lost {
		t.Errorf("heartbeat: %+v, %v", beat, err)
	}
	got, err := store.Complete(ctx, dag.CompleteRequest{ClaimRef: ref, Output: json.RawMessage(`1`)})
	ok("complete", got.Reply, err)
	got, err = store.Fail(ctx, dag.FailRequest{ClaimRef: claim(sends[1], "n1", time.Minute), Error: dag.StepError{Code: "X"}})
	ok("fail", got.Reply, err)
	got, err = store.Release(ctx, claim(sends[2], "n2", time.Minute))
	ok("release", got.Reply, err)
	claim(sends[3], "n3", 0)
	got, err = store.Reissue(ctx, dag.ReissueRequest{
		Run: sends[3].Run, Step: sends[3].Step, Def: graph.Digest, State: dag.StepRunning, Epoch: 1, Nonce: "n3", Crash: true,
	})
	ok("reissue", got.Reply, err)
	retried, err := store.Retry(ctx, dag.OperatorRequest{Run: sends[1].Run, Nonce: "o"})
	ok("retry", retried.Reply, err)
	expired, err := store.Expire(ctx, sends[0].Run)
	ok("expire", expired.Reply, err)
	clusterRepairs(t, store, graph, sends[2].Run)
	if _, err := store.Run(ctx, sends[0].Run); err != nil {
		t.Error(err)
	}
	partitions, _, err := store.Waiting(ctx)
	if err != nil || len(partitions) == 0 {
		t.Errorf("waiting: %v, %v", partitions, err)
	}
	if stats, err := store.Stats(ctx); err != nil || stats.Runs[dag.RunFailed] != 1 || stats.Runs[dag.RunRunning] != 2 {
		t.Errorf("stats: %+v, %v", stats, err)
	}
	if page, err := store.DeadLetters(ctx, dag.DeadLetterQuery{Limit: 10}); err != nil || len(page.Letters) != 1 {
		t.Errorf("dead letters: %+v, %v", page, err)
	}
	if all, err := store.Workflows(ctx); err != nil || len(all) != 1 {
		t.Errorf("workflows: %+v, %v", all, err)
	}
	if all, _, err := store.Workers(ctx); err != nil || len(all) != 1 {
		t.Errorf("workers: %+v, %v", all, err)
	}
}

// clusterRepairs makes the calls of operators and of the sweeper on a run whose first step is queued for the second time.
func clusterRepairs(t *testing.T, store *redisstore.Store, graph *dag.Graph, run string) {
	t.Helper()
	ctx := t.Context()
	nonce := 0
	operate := func(verb func(context.Context, dag.OperatorRequest) (dag.Operated, error), step string) {
		t.Helper()
		nonce++
		req := dag.OperatorRequest{Run: run, Step: step, Nonce: fmt.Sprint("o", nonce), Output: json.RawMessage(`{}`)}
		if done, err := verb(ctx, req); err != nil || done.Reply != dag.ReplyOK {
			t.Errorf("verb %d: %+v, %v", nonce, done, err)
		}
	}
	operate(store.Pause, "")
	operate(store.Resume, "")
	operate(store.Skip, "check")
	charge := dag.Delivery{Run: run, Step: "charge", Epoch: 1}
	if err := store.HandedOver(ctx, []dag.Delivery{charge}); err != nil {
		t.Error(err)
	}
	if err := store.LookAgain(ctx, []dag.Look{{Delivery: charge, Active: true}}); err != nil {
		t.Error(err)
	}
	partition, err := dag.RunPartition(run)
	if err != nil {
		t.Fatal(err)
	}
	if due, err := store.Due(ctx, partition, dag.DueLimits{Entries: 10, Doubts: 10}); err != nil || len(due.Doubts) != 1 || due.Doubts[0].Seen.IsZero() {
		t.Errorf("due: %+v, %v", due, err)
	}
	buried, err := store.Bury(ctx, dag.BuryRequest{Delivery: charge, Def: graph.Digest, State: dag.StepQueued, Error: dag.StepError{Code: dag.CodeArchived}})
	if err != nil || buried.Run != dag.RunFailed {
		t.Errorf("bury: %+v, %v", buried, err)
	}
	operate(store.Retry, "")
	operate(store.Resolve, "charge")
	operate(store.Cancel, "")
	if at, err := store.StepsAt(ctx, []dag.Delivery{charge}); err != nil || at[0].State != dag.StepSucceeded || at[0].At != 2 {
		t.Errorf("step: %+v, %v", at, err)
	}
	if page, err := store.Audit(ctx, partition, "", 10); err != nil || page.Runs != 1 || len(page.Mismatches) > 0 {
		t.Errorf("audit: %+v, %v", page, err)
	}
	if groups, err := store.Share(ctx, dag.SweeperInfo{ID: "s", TTL: time.Minute}); err != nil || len(groups) == 0 {
		t.Errorf("share: %v, %v", groups, err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for purged := 0; purged == 0 && err == nil; purged, err = store.Purge(ctx, []string{run}) { // the run is kept for a millisecond
		if time.Now().After(deadline) {
			t.Fatal("the run is not purged")
		}
	}
	if _, gone := store.Run(ctx, run); err != nil || !errors.Is(gone, engine.ErrNotFound) {
		t.Errorf("purge: %v, then %v", err, gone)
	}
}
