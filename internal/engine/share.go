package engine

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// shareTTL is how long the partitions of a sweeper that went silent lie idle, at most. Much less than a claim's TTL, so that a process that is killed with
// its sweeper in it delays no takeover.
const shareTTL = 5 * time.Second

// share is the part of the partitions that a sweeper works on. Sharing saves work, it does not make safe: that is the store's compare-and-set.
type share struct {
	id     string // of the sweeper; "" has all groups without asking
	groups [SweepGroups]bool
}

func newShare() share { return share{id: rand.Text()} }

// allGroups is the share of a sweeper that is alone.
func allGroups() share {
	var sh share
	for g := range sh.groups {
		sh.groups[g] = true
	}
	return sh
}

func (sh *share) owns(partition int) bool { return sh.groups[partition%SweepGroups] }

// portion is the share's part of what an installation may do.
func (sh *share) portion(all int) int {
	groups := 0
	for _, mine := range sh.groups {
		if mine {
			groups++
		}
	}
	return all * groups / SweepGroups
}

// ask renews the share. Without an answer the last one holds: two sweepers on one partition do no harm, none would.
func (sh *share) ask(ctx context.Context, e *Engine) {
	if sh.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	groups, err := e.store.Share(ctx, dag.SweeperInfo{ID: sh.id, TTL: shareTTL})
	if err != nil {
		e.cfg.Log.DebugContext(ctx, "share of the partitions not renewed; the last one holds", "err", err)
		return
	}
	sh.groups = [SweepGroups]bool{}
	for _, g := range groups {
		sh.groups[g] = true
	}
}

// leave gives the share back, so that others need not wait for its end.
func (sh *share) leave(ctx context.Context, e *Engine) {
	if _, err := e.store.Share(ctx, dag.SweeperInfo{ID: sh.id, TTL: shareTTL, Left: true}); err != nil {
		e.cfg.Log.DebugContext(ctx, "share of the partitions not given back; it ends by itself", "err", err)
	}
}
