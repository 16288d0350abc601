//go:build integration

package failover_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
)

// downAfter is when Sentinels find a silent master dead.
const downAfter = time.Second

// TestSentinelMasterKilled takes the master away for good. One of two replicas must confirm a start: the Sentinels promote the one that has most.
func TestSentinelMasterKilled(t *testing.T) {
	t.Parallel()
	r := redistest.StartReplicated(t, 2, downAfter)
	l := newLab(t, labConfig{options: redisstore.Options{URL: r.URL}, replicas: 1})
	load := l.load(t)
	load.reaches(t, 50, limitService, "starts before the fault", everyRun)
	killed := time.Now()
	if err := r.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	load.reaches(t, 50, 2*limitService, "starts after the master was killed", everyRun)
	load.interrupted(t, "Sentinel, master killed", killed, everyRun)
	load.books(t)
}

// TestSentinelManualFailover lets an operator change the master while it lives. Sentinel does not stop the old one first: for a while both take
// writes, and the old one still has a replica. So all replicas must confirm, that is, the next master too; or the operator stops the writes before.
// The negative control does neither.
func TestSentinelManualFailover(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		replicas      int // of two, that must confirm
		paused, loses bool
	}{
		"both replicas confirm":   {replicas: 2},
		"writes are paused first": {replicas: 1, paused: true},
		"one replica is too few":  {replicas: 1, loses: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := redistest.StartReplicated(t, 2, downAfter)
			l := newLab(t, labConfig{options: redisstore.Options{URL: r.URL}, replicas: c.replicas, idle: c.loses})
			load := l.load(t)
			load.reaches(t, 50, limitService, "starts before the fault", everyRun)
			begun := time.Now()
			if c.paused {
				pauseWrites(t, r)
			}
			sentinel := redistest.Client(t, r.Sentinels[0])
			if err := sentinel.Do(t.Context(), "sentinel", "failover", redistest.MasterName).Err(); err != nil {
				t.Fatal(err)
			}
			awaitMaster(t, r)
			load.reaches(t, 50, 2*limitService, "starts after the failover", everyRun)
			if c.loses {
				load.end()
				if n := len(l.lost(t, load.runs())); n == 0 {
					t.Errorf("no run of %d is lost: this shows nothing", len(load.runs()))
				}
				return
			}
			load.interrupted(t, "Sentinel, failover by an operator, "+name, begun, everyRun)
			load.books(t)
		})
	}
}

// pauseWrites stops the writes on the master for longer than a failover takes, and waits until the replicas have all that there is.
func pauseWrites(t *testing.T, r *redistest.Replicated) {
	t.Helper()
	master := redistest.Client(t, r.Nodes[0])
	if err := master.Do(t.Context(), "client", "pause", 12_000, "write").Err(); err != nil {
		t.Fatal(err)
	}
	for _, n := range r.Nodes[1:] {
		replica := redistest.Client(t, n)
		redistest.Await(t, limitService, "a replica to have all writes", func(ctx context.Context) (bool, string) {
			want, got := redistest.Info(ctx, master, "replication")["master_repl_offset"], redistest.Info(ctx, replica, "replication")["slave_repl_offset"]
			return want == got, got + " of " + want
		})
	}
}

// awaitMaster waits until the Sentinels tell of another master than the first one.
func awaitMaster(t *testing.T, r *redistest.Replicated) {
	t.Helper()
	sentinel := redistest.Client(t, r.Sentinels[0])
	redistest.Await(t, 2*limitService, "another master", func(ctx context.Context) (bool, string) {
		m := r.Master(ctx, sentinel)
		return m != nil && m != r.Nodes[0], "still the old one"
	})
}

// TestSentinelCutReplicas cuts the replicas off before the master is killed. Under strict durability nothing is promised meanwhile, and nothing lost. The
// negative control is relaxed durability: what is promised then is lost with the master.
func TestSentinelCutReplicas(t *testing.T) {
	t.Parallel()
	for name, replicas := range map[string]int{"strict": 1, "relaxed": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := redistest.StartReplicated(t, 2, downAfter)
			l := newLab(t, labConfig{options: redisstore.Options{URL: r.URL}, replicas: replicas, idle: true})
			var accepted []string
			start := func(key string) error {
				started, err := l.api.Start(t.Context(), engine.StartRequest{Workflow: "lab/order", Key: key})
				if err == nil {
					accepted = append(accepted, started.Run.ID)
				} else if !errors.Is(err, engine.ErrUnavailable) {
					t.Errorf("start %s: %v", key, err)
				}
				return err
			}
			if err := start("before"); err != nil {
				t.Fatal(err)
			}
			replicate(t, r, false)
			for n := range 3 {
				if err := start(strconv.Itoa(n)); (err == nil) != (replicas == 0) {
					t.Errorf("start without replicas: %v", err)
				}
			}
			if err := r.Nodes[0].Kill(); err != nil {
				t.Fatal(err)
			}
			replicate(t, r, true)
			awaitMaster(t, r)
			redistest.Await(t, 2*limitService, "a start on the new master", func(context.Context) (bool, string) {
				return start("after") == nil, "refused"
			})
			lost, want := l.lost(t, accepted), 0
			if replicas == 0 {
				want = 3
			}
			if len(lost) != want {
				t.Errorf("%d of %d accepted runs are lost, want %d", len(lost), len(accepted), want)
			}
		})
	}
}

// replicate cuts the replicas off their master, or lets them have one again.
func replicate(t *testing.T, r *redistest.Replicated, on bool) {
	t.Helper()
	user, password := "nobody", "nothing" // whom no master lets in
	if on {
		user, password = "", ""
	}
	for _, n := range r.Nodes[1:] {
		c := redistest.Client(t, n)
		err := errors.Join(c.ConfigSet(t.Context(), "masteruser", user).Err(), c.ConfigSet(t.Context(), "masterauth", password).Err())
		if err == nil && !on {
			err = c.Do(t.Context(), "client", "kill", "type", "master").Err()
		}
		if err != nil {
			t.Fatal(err)
		}
		if on {
			continue
		}
		redistest.Await(t, limitService, "a replica to lose its master", func(ctx context.Context) (bool, string) {
			state := redistest.Info(ctx, c, "replication")["master_link_status"]
			return state == "down", state
		})
	}
}
