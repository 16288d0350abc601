//go:build integration

package failover_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// nodeTimeout is when the nodes of a cluster find a silent one dead.
const nodeTimeout = 1500 * time.Millisecond

// TestClusterMasterKilled takes a master away. Its replica takes over, and starts there are answered once it has a replica itself: the old master,
// which is started again.
func TestClusterMasterKilled(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, true, nodeTimeout)
	l := newLab(t, labConfig{options: redisstore.Options{URL: c.URL}, replicas: 1})
	affected := runsOn(t, c.Masters[0])
	load := l.load(t)
	load.reaches(t, 20, limitService, "starts before the fault", affected)
	killed := time.Now()
	if err := c.Masters[0].Kill(); err != nil {
		t.Fatal(err)
	}
	awaitRole(t, c.Replicas[0], "master")
	t.Logf("Cluster, master killed: its replica took over after %s", time.Since(killed).Round(10*time.Millisecond))
	if err := c.Masters[0].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	load.reaches(t, 20, 2*limitService, "starts after the master was killed", affected)
	load.interrupted(t, "Cluster, master killed and started again", killed, affected)
	load.books(t)
}

// TestClusterManualFailover lets an operator change a master while it lives, and back, and moves all slots of another one.
func TestClusterManualFailover(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, true, nodeTimeout)
	l := newLab(t, labConfig{options: redisstore.Options{URL: c.URL}, replicas: 1})
	affected := runsOn(t, c.Masters[0])
	load := l.load(t)
	load.reaches(t, 20, limitService, "starts before the fault", affected)
	for _, next := range []*localredis.Server{c.Replicas[0], c.Masters[0]} {
		begun := time.Now()
		redistest.Await(t, limitService, "an operator's failover", func(ctx context.Context) (bool, string) {
			err := redistest.Client(t, next).ClusterFailover(ctx).Err()
			return err == nil, "refused"
		})
		awaitRole(t, next, "master")
		load.reaches(t, 20, 2*limitService, "starts after the failover", affected)
		load.interrupted(t, "Cluster, failover by an operator", begun, affected)
	}
	load.books(t)
}

// TestClusterSlotsMoved moves slots that have runs from one master to another one, and the queue's and the one that all processes look at, while all
// goes on. In a slot that moves nothing new is written: its starts wait.
func TestClusterSlotsMoved(t *testing.T) {
	t.Parallel()
	const many = 8
	c := redistest.StartCluster(t, 3, true, nodeTimeout)
	l := newLab(t, labConfig{options: redisstore.Options{URL: c.URL}, replicas: 1})
	var moved [dag.Partitions]bool
	slots := 0
	move := func(key string) {
		from := slices.IndexFunc(c.Masters, func(m *localredis.Server) bool { return has(t, m, key) })
		to := (from + 1) % len(c.Masters)
		if err := c.MoveSlot(t.Context(), redistest.Client(t, c.Masters[from]), redistest.Client(t, c.Masters[to]), key); err != nil {
			t.Fatal(err)
		}
		slots++
	}
	affected := func(run string) bool {
		p, err := dag.RunPartition(run)
		return err == nil && moved[p]
	}
	for p := range many {
		moved[p] = true
	}
	load := l.load(t)
	load.reaches(t, 10, limitService, "starts before the move", affected)
	begun := time.Now()
	move("asynq:{lab}:pending")
	move("{sw}:install")
	for p := range many {
		move(partitionKey(p))
	}
	t.Logf("Cluster: %d slots moved in %s", slots, time.Since(begun).Round(10*time.Millisecond))
	load.reaches(t, 10, limitService, "starts after the move", affected)
	load.interrupted(t, "Cluster, slots moved", begun, affected)
	load.books(t)
}

// partitionKey is a key that lies in the slot of a partition.
func partitionKey(p int) string { return fmt.Sprintf("{sw:%02x}:agenda", p) }

// runsOn selects the runs whose partition a master has now.
func runsOn(t *testing.T, master *localredis.Server) func(run string) bool {
	t.Helper()
	var here [dag.Partitions]bool
	for p := range here {
		here[p] = has(t, master, partitionKey(p))
	}
	return func(run string) bool {
		p, err := dag.RunPartition(run)
		return err == nil && here[p]
	}
}

// has tells whether a master has the slot of a key.
func has(t *testing.T, master *localredis.Server, key string) bool {
	t.Helper()
	return !redis.HasErrorPrefix(redistest.Client(t, master).Exists(t.Context(), key).Err(), "MOVED")
}

func awaitRole(t *testing.T, s *localredis.Server, role string) {
	t.Helper()
	node := redistest.Client(t, s)
	redistest.Await(t, 2*limitService, "a node to be "+role, func(ctx context.Context) (bool, string) {
		is := redistest.Info(ctx, node, "replication")["role"]
		return is == role, is
	})
}
