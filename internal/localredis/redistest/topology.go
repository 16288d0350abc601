package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/localredis"
)

// MasterName is what the Sentinels of a [Replicated] call their master.
const MasterName = "boss"

const (
	settleLimit = 40 * time.Second // for servers to find each other
	settlePoll  = 20 * time.Millisecond
)

// Addr is where a server listens, host:port.
func Addr(s *localredis.Server) string {
	addr, _, _ := strings.Cut(strings.TrimPrefix(s.URL, "redis://"), "/")
	return addr
}

// Client returns a client of one server, whatever it is part of. A command is tried once, for 2 s at most.
func Client(tb testing.TB, s *localredis.Server) *redis.Client {
	tb.Helper()
	c := redis.NewClient(&redis.Options{
		Addr: Addr(s), MaxRetries: -1, DialerRetries: 1, DialTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second, ContextTimeoutEnabled: true,
	})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Await polls until the condition holds. holds tells what it saw last.
func Await(tb testing.TB, limit time.Duration, what string, holds func(ctx context.Context) (ok bool, saw string)) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	defer cancel()
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	last := ""
	for {
		ok, saw := holds(ctx)
		if ok {
			return
		}
		if ctx.Err() == nil {
			last = saw
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("redistest: %s: not within %s; last seen: %s", what, limit, last)
		}
	}
}

// Info returns the lines of a section of INFO; none when the server does not answer.
func Info(ctx context.Context, c *redis.Client, section string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(c.Info(ctx, section).Val()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// replica are the arguments of a server that copies another one, or may do so later.
func replica(of *localredis.Server) []string {
	args := []string{"--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16mb"}
	if of != nil {
		host, port, _ := net.SplitHostPort(Addr(of))
		args = append(args, "--replicaof", host, port)
	}
	return args
}

// Replicated is a master with replicas, and the Sentinels that watch it.
type Replicated struct {
	URL       string               // redis+sentinel://…
	Nodes     []*localredis.Server // the first one begins as the master
	Sentinels []*localredis.Server // none without downAfter
}

// StartReplicated starts a master with replicas and, unless downAfter is 0, three Sentinels, which find a silent master dead after that time. All of them
// are closed at the end of the test.
func StartReplicated(tb testing.TB, replicas int, downAfter time.Duration) *Replicated {
	tb.Helper()
	r := &Replicated{Nodes: []*localredis.Server{Own(tb, localredis.Options{ExtraArgs: replica(nil)})}}
	for range replicas {
		r.Nodes = append(r.Nodes, Own(tb, localredis.Options{ExtraArgs: replica(r.Nodes[0])}))
	}
	master := Client(tb, r.Nodes[0])
	Await(tb, settleLimit, "replicas to be in step", func(ctx context.Context) (bool, string) {
		info := Info(ctx, master, "replication")
		online := 0
		for name, value := range info {
			if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
				online++
			}
		}
		return online == replicas, fmt.Sprint(info)
	})
	if downAfter > 0 {
		r.watch(tb, replicas, downAfter)
	}
	return r
}

func (r *Replicated) watch(tb testing.TB, replicas int, downAfter time.Duration) {
	tb.Helper()
	const sentinels = 3
	host, port, _ := net.SplitHostPort(Addr(r.Nodes[0]))
	conf := fmt.Sprintf("sentinel monitor %s %s %s 2\nsentinel down-after-milliseconds %s %d\nsentinel failover-timeout %s 10000\n",
		MasterName, host, port, MasterName, downAfter.Milliseconds(), MasterName)
	var addrs []string
	for range sentinels {
		s := Own(tb, localredis.Options{Sentinel: conf})
		r.Sentinels, addrs = append(r.Sentinels, s), append(addrs, Addr(s))
	}
	r.URL = "redis+sentinel://" + strings.Join(addrs, ",") + "/" + MasterName
	for _, s := range r.Sentinels {
		c := Client(tb, s)
		Await(tb, settleLimit, "Sentinels to find each other and the replicas", func(ctx context.Context) (bool, string) {
			line := Info(ctx, c, "sentinel")["master0"]
			return strings.Contains(line, fmt.Sprintf("status=ok,address=%s,slaves=%d,sentinels=%d", Addr(r.Nodes[0]), replicas, sentinels)), line
		})
	}
}

// Master returns the node that a Sentinel takes for the master; nil when it tells of none of them.
func (r *Replicated) Master(ctx context.Context, sentinel *redis.Client) *localredis.Server {
	got, err := sentinel.Do(ctx, "sentinel", "get-master-addr-by-name", MasterName).StringSlice()
	if err != nil || len(got) != 2 {
		return nil
	}
	for _, n := range r.Nodes {
		if Addr(n) == net.JoinHostPort(got[0], got[1]) {
			return n
		}
	}
	return nil
}

// Cluster is a cluster of masters with one replica each, or none.
type Cluster struct {
	URL      string               // redis+cluster://…
	Masters  []*localredis.Server // as they begin; the slots are spread evenly, in this order
	Replicas []*localredis.Server // of the master at the same place
}

// StartCluster starts a cluster, which finds a silent node dead after timeout. It is closed at the end of the test.
func StartCluster(tb testing.TB, masters int, replicas bool, timeout time.Duration) *Cluster {
	tb.Helper()
	c := &Cluster{}
	var addrs []string
	start := func() *localredis.Server {
		s := clusterNode(tb, timeout)
		addrs = append(addrs, Addr(s))
		return s
	}
	for range masters {
		c.Masters = append(c.Masters, start())
		if replicas {
			c.Replicas = append(c.Replicas, start())
		}
	}
	c.URL = "redis+cluster://" + strings.Join(addrs, ",")
	c.meet(tb)
	for i, r := range c.Replicas {
		id := Client(tb, c.Masters[i]).ClusterMyID(tb.Context()).Val()
		node := Client(tb, r)
		Await(tb, settleLimit, "a replica to know its master", func(ctx context.Context) (bool, string) {
			err := node.ClusterReplicate(ctx, id).Err()
			return err == nil, fmt.Sprint(err)
		})
	}
	c.settled(tb)
	return c
}

func clusterNode(tb testing.TB, timeout time.Duration) *localredis.Server {
	tb.Helper()
	// By default the bus is on the port plus 10,000, which may be more than there are ports.
	return Own(tb, localredis.Options{ExtraArgs: append(replica(nil), "--cluster-enabled", "yes", "--cluster-port", FreePort(tb),
		"--cluster-node-timeout", strconv.FormatInt(timeout.Milliseconds(), 10), "--cluster-require-full-coverage", "no")})
}

// meet gives the masters their slots and makes all nodes known to each other.
func (c *Cluster) meet(tb testing.TB) {
	tb.Helper()
	const slots = 16384
	n := len(c.Masters)
	first := Client(tb, c.Masters[0])
	for i, m := range c.Masters {
		if err := Client(tb, m).ClusterAddSlotsRange(tb.Context(), i*slots/n, (i+1)*slots/n-1).Err(); err != nil {
			tb.Fatal("redistest: give slots to a master: ", err)
		}
	}
	nodes := slices.Concat(c.Masters, c.Replicas)
	for i, s := range nodes { // while none knows another one
		if err := Client(tb, s).Do(tb.Context(), "cluster", "set-config-epoch", i+1).Err(); err != nil {
			tb.Fatal("redistest: number a node: ", err)
		}
	}
	for _, s := range nodes[1:] {
		host, port, _ := net.SplitHostPort(Addr(s))
		bus := Client(tb, s).ConfigGet(tb.Context(), "cluster-port").Val()["cluster-port"]
		if err := first.Do(tb.Context(), "cluster", "meet", host, port, bus).Err(); err != nil {
			tb.Fatal("redistest: introduce a node: ", err)
		}
	}
}

// ClusterIsUp tells whether a node sees all slots served, for [Await].
func ClusterIsUp(node *redis.Client) func(ctx context.Context) (ok bool, saw string) {
	return func(ctx context.Context) (bool, string) {
		info := node.ClusterInfo(ctx).Val()
		return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_assigned:16384"), info
	}
}

// settled waits until every node sees all others, and every replica is in step.
func (c *Cluster) settled(tb testing.TB) {
	tb.Helper()
	nodes := len(c.Masters) + len(c.Replicas)
	for _, s := range slices.Concat(c.Replicas, c.Masters) {
		node := Client(tb, s)
		Await(tb, settleLimit, "the nodes of a cluster to see each other", func(ctx context.Context) (bool, string) {
			up, info := ClusterIsUp(node)(ctx)
			return up &&
				strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", nodes)) && strings.Contains(info, fmt.Sprintf("cluster_size:%d\r", len(c.Masters))), info
		})
	}
	for _, s := range c.Replicas {
		node := Client(tb, s)
		Await(tb, settleLimit, "a replica to be in step", func(ctx context.Context) (bool, string) {
			info := Info(ctx, node, "replication")
			return info["role"] == "slave" && info["master_link_status"] == "up", fmt.Sprint(info)
		})
	}
}

// MoveSlot moves the slot of a key from one master to another one, as an operator's tool does while the cluster is at work: the slot is open on both
// sides, its keys go over one batch at a time, and then all masters are told whose it is.
func (c *Cluster) MoveSlot(ctx context.Context, from, to *redis.Client, key string) error {
	slot := from.ClusterKeySlot(ctx, key).Val()
	fromID, toID := from.ClusterMyID(ctx).Val(), to.ClusterMyID(ctx).Val()
	host, port, _ := net.SplitHostPort(to.Options().Addr)
	err := errors.Join(
		to.Do(ctx, "cluster", "setslot", slot, "importing", fromID).Err(),
		from.Do(ctx, "cluster", "setslot", slot, "migrating", toID).Err(),
	)
	for err == nil {
		keys, getErr := from.ClusterGetKeysInSlot(ctx, int(slot), 100).Result()
		if getErr != nil || len(keys) == 0 {
			err = getErr
			break
		}
		args := []any{"migrate", host, port, "", 0, 5000, "keys"}
		for _, k := range keys {
			args = append(args, k)
		}
		err = from.Do(ctx, args...).Err()
	}
	if err != nil {
		return fmt.Errorf("move slot %d: %w", slot, err)
	}
	// The new owner first, so that the slot is never nobody's.
	for _, node := range []*redis.Client{to, from} {
		if err := node.Do(ctx, "cluster", "setslot", slot, "node", toID).Err(); err != nil {
			return fmt.Errorf("give slot %d to %s: %w", slot, toID, err)
		}
	}
	return nil
}
