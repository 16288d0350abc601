package redistest_test

import (
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/localredis/redistest"
)

func TestReplicated(t *testing.T) {
	t.Parallel()
	r := redistest.StartReplicated(t, 1, time.Second)
	master, replica := redistest.Client(t, r.Nodes[0]), redistest.Client(t, r.Nodes[1])
	if err := master.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := master.Do(t.Context(), "wait", 1, 5000).Int(); err != nil || n != 1 {
		t.Errorf("%d replicas confirm, %v", n, err)
	}
	if got, err := replica.Get(t.Context(), "k").Result(); err != nil || got != "v" {
		t.Errorf("the replica has %q, %v", got, err)
	}
	if got := r.Master(t.Context(), redistest.Client(t, r.Sentinels[0])); got != r.Nodes[0] {
		t.Errorf("the Sentinel's master is %+v", got)
	}
	if err := r.Sentinels[0].Kill(); err != nil { // its configuration is its own now, and stays
		t.Fatal(err)
	}
	if err := r.Sentinels[0].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.Master(t.Context(), redistest.Client(t, r.Sentinels[0])); got != r.Nodes[0] {
		t.Errorf("after a restart the Sentinel's master is %+v", got)
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, true, 2*time.Second)
	for i := range c.Masters {
		info := redistest.Info(t.Context(), redistest.Client(t, c.Masters[i]), "replication")
		if info["role"] != "master" || info["connected_slaves"] != "1" {
			t.Errorf("node %d: %v", i, info)
		}
	}
}
