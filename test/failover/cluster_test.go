//go:build integration

package failover_test

import (
	"context"
	"fmt"
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

// TestClusterSlotsMoved moves every slot that has runs from one master to another one, and the queue's too, while all goes on.
func TestClusterSlotsMoved(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, true, nodeTimeout)
	l := newLab(t, labConfig{options: redisstore.Options{URL: c.URL}, replicas: 1})
	from, to := redistest.Client(t, c.Masters[0]), redistest.Client(t, c.Masters[1])
	affected := runsOn(t, c.Masters[0])
	load := l.load(t)
	load.reaches(t, 20, limitService, "starts before the fault", affected)
	begun := time.Now()
	keys := []string{"asynq:{lab}:pending", "{sw}:install"}
	for p := range dag.Partitions {
		keys = append(keys, partitionKey(p))
	}
	moved := 0
	for _, key := range keys {
		if redis.HasErrorPrefix(from.Exists(t.Context(), key).Err(), "MOVED") {
			continue
		}
		if err := c.MoveSlot(t.Context(), from, to, key); err != nil {
			t.Fatal(err)
		}
		moved++
	}
	t.Logf("Cluster, %d slots moved in %s", moved, time.Since(begun).Round(10*time.Millisecond))
	load.reaches(t, 20, 2*limitService, "starts after the move", affected)
	load.interrupted(t, "Cluster, slots moved", begun, affected)
	load.books(t)
	for p := range dag.Partitions {
		if !redis.HasErrorPrefix(from.Exists(t.Context(), partitionKey(p)).Err(), "MOVED") {
			t.Errorf("partition %02x is still on the old master", p)
		}
	}
}

// partitionKey is a key that lies in the slot of a partition.
func partitionKey(p int) string { return fmt.Sprintf("{sw:%02x}:agenda", p) }

// runsOn selects the runs whose partition a master has now.
func runsOn(t *testing.T, master *localredis.Server) func(run string) bool {
	t.Helper()
	node := redistest.Client(t, master)
	var here [dag.Partitions]bool
	for p := range here {
		here[p] = !redis.HasErrorPrefix(node.Exists(t.Context(), partitionKey(p)).Err(), "MOVED")
	}
	return func(run string) bool {
		p, err := dag.RunPartition(run)
		return err == nil && here[p]
	}
}

func awaitRole(t *testing.T, s *localredis.Server, role string) {
	t.Helper()
	node := redistest.Client(t, s)
	redistest.Await(t, 2*limitService, "a node to be "+role, func(ctx context.Context) (bool, string) {
		is := redistest.Info(ctx, node, "replication")["role"]
		return is == role, is
	})
}
