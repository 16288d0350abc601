package redisstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// newRun is a run of the story's workflow in a partition, with a key of the same name as its number.
func newRun(t *testing.T, partition int, ulid, key string) dag.NewRun {
	t.Helper()
	graph, err := dag.Compile(storyWorkflow())
	if err != nil {
		t.Fatal(err)
	}
	return dag.NewRun{
		ID: dag.NewRunID(partition, ulid), Graph: graph, Key: key, Fingerprint: "f", Input: json.RawMessage(`{}`), Timeout: time.Hour,
	}
}

const (
	ulidOne = "01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"
	ulidTwo = "01J9Z0K3V8Q6S5T4R3W2X1Y0ZB"
)

// quickClient is what an API process has.
func quickClient(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	client, err := redisstore.Connect(redisstore.Options{URL: url, Profile: redisstore.Quick})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// TestStrict has a replica that stops for a while: nothing is promised meanwhile, a repetition is told the same, and finds its run when the replica
// is back. The negative control is the relaxed store, which promises what only the master has.
func TestStrict(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	topology := redistest.StartReplicated(t, 1, 0)
	client, replica := quickClient(t, topology.Nodes[0].URL), redistest.Client(t, topology.Nodes[1])
	open := func(replicas int, warned *[]string) *redisstore.Store {
		t.Helper()
		s, err := redisstore.Open(ctx, client, redisstore.Config{StrictReplicas: replicas, Warn: func(w string) { *warned = append(*warned, w) }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var warned []string
	strict, relaxed := open(1, &warned), open(0, &warned)
	if len(warned) > 0 {
		t.Errorf("warnings %q", warned)
	}
	if err := client.ScriptFlush(ctx).Err(); err != nil { // and with it the script: its text goes along
		t.Fatal(err)
	}
	run := newRun(t, 1, ulidOne, "one")
	if created, err := strict.CreateRun(ctx, run); err != nil || created.ID != run.ID || len(created.Sends) != 1 {
		t.Fatalf("create: %+v, %v", created, err)
	}
	if n, err := replica.Exists(ctx, redisstore.Key("sw", "run", 1, run.ID)).Result(); err != nil || n != 1 {
		t.Errorf("the run is not on the replica: %d, %v", n, err)
	}

	if err := topology.Nodes[1].Pause(); err != nil {
		t.Fatal(err)
	}
	second := newRun(t, 1, ulidTwo, "two")
	for _, try := range []string{"first", "repeated"} {
		_, err := strict.CreateRun(ctx, second)
		if !errors.Is(err, engine.ErrUnavailable) || !strings.Contains(err.Error(), "0 of 1") || !strings.Contains(err.Error(), "the same idempotency key") {
			t.Errorf("%s, the replica stands still: %v", try, err)
		}
	}
	if _, _, err := strict.RunOfKey(ctx, 1, "shop/order", "two"); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("run of the key, the replica stands still: %v", err)
	}
	if created, err := relaxed.CreateRun(ctx, second); err != nil || created.ID != second.ID {
		t.Errorf("negative control: the relaxed store is told of it: %+v, %v", created, err)
	}
	if err := topology.Nodes[1].Resume(); err != nil {
		t.Fatal(err)
	}
	again := second
	again.ID = dag.NewRunID(1, ulidOne[:25]+"C")
	if created, err := strict.CreateRun(ctx, again); err != nil || created.ID != second.ID || !created.Replayed {
		t.Errorf("the replica is back: %+v, %v", created, err)
	}
	if id, _, err := strict.RunOfKey(ctx, 1, "shop/order", "two"); err != nil || id != second.ID {
		t.Errorf("the run of the key is %q, %v", id, err)
	}
}

// TestStrictWarns asks for fewer replicas than there are: one of the others may be promoted.
func TestStrictWarns(t *testing.T) {
	t.Parallel()
	topology := redistest.StartReplicated(t, 2, 0)
	for replicas, text := range map[int]string{0: "", 1: "set redis.durability_replicas to 2", 2: "", 3: "takes no new runs until it has as many"} {
		var warned []string
		_, err := redisstore.Open(t.Context(), connect(t, topology.Nodes[0].URL), redisstore.Config{
			StrictReplicas: replicas, Warn: func(w string) { warned = append(warned, w) },
		})
		if err != nil || (len(warned) > 0) != (text != "") || !strings.Contains(strings.Join(warned, ""), text) {
			t.Errorf("%d replicas: warnings %q, %v", replicas, warned, err)
		}
	}
}

// TestStrictOnACluster creates a run in every partition: WAIT must reach the master that got the run. A slot that moves meanwhile is looked for.
func TestStrictOnACluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cluster := redistest.StartCluster(t, 2, true, 2*time.Second)
	client := quickClient(t, cluster.URL)
	s, err := redisstore.Open(ctx, client, redisstore.Config{StrictReplicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	for p := range dag.Partitions {
		if _, err := s.CreateRun(ctx, newRun(t, p, ulidOne, "k")); err != nil {
			t.Errorf("partition %02x: %v", p, err)
		}
	}
	const moving = 7
	key := redisstore.Key("sw", "agenda", moving, "")
	from, to := holder(t, cluster, key)
	if err := cluster.MoveSlot(ctx, redistest.Client(t, from), redistest.Client(t, to), key); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateRun(ctx, newRun(t, moving, ulidTwo, "moved")); err != nil {
		t.Errorf("after the slot has moved: %v", err)
	}
	paused := 0 // with the replica of one master still, starts on the other one go on
	if err := cluster.Replicas[0].Pause(); err != nil {
		t.Fatal(err)
	}
	for p := range 8 {
		if _, err := s.CreateRun(ctx, newRun(t, p, ulidTwo[:25]+"D", "")); err != nil {
			if !errors.Is(err, engine.ErrUnavailable) {
				t.Errorf("partition %02x: %v", p, err)
			}
			paused++
		}
	}
	if paused == 0 || paused == 8 {
		t.Errorf("%d of 8 starts refused, want some", paused)
	}
	if err := cluster.Replicas[0].Resume(); err != nil {
		t.Fatal(err)
	}
}

// holder tells which master has a key's slot, and one that has not.
func holder(t *testing.T, cluster *redistest.Cluster, key string) (from, to *localredis.Server) {
	t.Helper()
	from, to = cluster.Masters[0], cluster.Masters[1]
	if redis.HasErrorPrefix(redistest.Client(t, from).Exists(t.Context(), key).Err(), "MOVED") {
		from, to = to, from
	}
	return from, to
}

// TestStrictGivesUp has a master that takes commands and never answers: like every quick call it ends after 2 s.
func TestStrictGivesUp(t *testing.T) {
	t.Parallel()
	topology := redistest.StartReplicated(t, 1, 0)
	s, err := redisstore.Open(t.Context(), quickClient(t, topology.Nodes[0].URL), redisstore.Config{StrictReplicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := topology.Nodes[0].Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	if _, err := s.CreateRun(ctx, newRun(t, 1, ulidOne, "")); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	if ctx.Err() != nil {
		t.Error("the start went on for 6 s")
	}
	if err := topology.Nodes[0].Resume(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkStart compares what starts cost; replicas 0 is the relaxed store.
func BenchmarkStart(b *testing.B) {
	topology := redistest.StartReplicated(b, 1, 0)
	client, err := redisstore.Connect(redisstore.Options{URL: topology.Nodes[0].URL})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	graph, err := dag.Compile(storyWorkflow())
	if err != nil {
		b.Fatal(err)
	}
	for name, replicas := range map[string]int{"relaxed": 0, "strict": 1} {
		b.Run(name, func(b *testing.B) {
			s, err := redisstore.Open(b.Context(), client, redisstore.Config{StrictReplicas: replicas})
			if err != nil {
				b.Fatal(err)
			}
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					run := dag.NewRun{
						ID: dag.NewRunID(1, ulid.Make().String()), Graph: graph, Input: json.RawMessage(`{}`), Timeout: time.Hour,
					}
					if _, err := s.CreateRun(b.Context(), run); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(client.PoolStats().Misses), "dials")
		})
	}
}

// TestStrictRepeatedIsWritten repeats starts: what is found has to be written again, because since Redis 7.2 WAIT counts from the last write of
// its connection, and the repetition comes over another one.
func TestStrictRepeatedIsWritten(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	client := redistest.Client(t, redistest.Own(t, localredis.Options{}))
	changes := func() string { return redistest.Info(ctx, client, "persistence")["rdb_changes_since_last_save"] }
	store, err := redisstore.Open(ctx, client, redisstore.Config{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	keyed, keyless := newRun(t, 1, ulidOne, "one"), newRun(t, 1, ulidTwo, "")
	create := func(run dag.NewRun) func() error {
		return func() error {
			_, err := store.CreateRun(ctx, run)
			return err
		}
	}
	for _, run := range []dag.NewRun{keyed, keyless} {
		if err := create(run)(); err != nil {
			t.Fatal(err)
		}
	}
	find := func() error {
		_, _, err := store.RunOfKey(ctx, 1, "shop/order", "one")
		return err
	}
	for what, repeat := range map[string]func() error{"with a key": create(keyed), "sent again": create(keyless), "run of the key": find} {
		before := changes()
		if err := repeat(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if changes() == before {
			t.Errorf("%s: nothing was written, so that WAIT would vouch for nothing", what)
		}
	}
}
