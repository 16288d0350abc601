package redisstore_test

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// TestCluster makes every call on a cluster of one node. A node refuses a script whose keys are of more than one slot, or that touches keys of
// another slot than its declared ones.
func TestCluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	node := clusterNode(t)
	if err := node.client.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	node.await(t, "cluster_state:ok")
	client := connect(t, "redis+cluster://"+node.addr)
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
			ID: id, Graph: graph, Key: "k", Fingerprint: "f", Input: json.RawMessage(`{}`), Timeout: time.Millisecond, Labels: map[string]string{"a": "{b}"},
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

// node is a server of a cluster.
type node struct {
	server    *localredis.Server
	client    redis.UniversalClient
	addr, bus string // host:port, port
}

func clusterNode(t *testing.T) node {
	t.Helper()
	// By default the bus is on the port plus 10,000, which may be more than there are ports.
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, bus, _ := net.SplitHostPort(listener.Addr().String())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	server := redistest.Own(t, localredis.Options{ExtraArgs: []string{
		"--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "60000", "--cluster-require-full-coverage", "no",
	}})
	addr, _, _ := strings.Cut(strings.TrimPrefix(server.URL, "redis://"), "/")
	return node{server: server, client: connect(t, server.URL), addr: addr, bus: bus}
}

// await waits until the node's view of the cluster says all of the lines.
func (n node) await(t *testing.T, lines ...string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		info, err := n.client.ClusterInfo(t.Context()).Result()
		if err == nil && !slices.ContainsFunc(lines, func(line string) bool { return !strings.Contains(info, line+"\r") }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster does not come up: %s, %v", info, err)
		}
	}
}

// TestForgottenScriptBesideADeadMaster has a master that forgot all scripts, as after a failover, while another one is away: only the partitions of
// that one are out of reach.
func TestForgottenScriptBesideADeadMaster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	one, two := clusterNode(t), clusterNode(t)
	host, port, _ := net.SplitHostPort(two.addr)
	for _, err := range []error{
		one.client.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", 0, 8191).Err(),
		two.client.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", 8192, 16383).Err(),
		one.client.Do(ctx, "CLUSTER", "MEET", host, port, two.bus).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []node{one, two} {
		n.await(t, "cluster_state:ok", "cluster_slots_assigned:16384", "cluster_size:2")
	}
	client := connect(t, "redis+cluster://"+one.addr)
	store, err := redisstore.Open(ctx, client, redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := two.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := one.client.ScriptFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	for p := range dag.Partitions {
		slot, err := one.client.ClusterKeySlot(ctx, redisstore.Key("sw", "agenda", p, "")).Result()
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
	if _, err := store.Run(ctx, sends[0].Run); err != nil {
		t.Error(err)
	}
	partitions, _, err := store.Waiting(ctx)
	if err != nil || len(partitions) == 0 {
		t.Errorf("waiting: %v, %v", partitions, err)
	}
	if stats, err := store.Stats(ctx); err != nil || stats.Runs[dag.RunFailed] != 1 || stats.Runs[dag.RunRunning] != 3 {
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
