package engine

import "time"

// guard remembers how well one partition could be reached, so that an absence of Redis is not taken for the death of workers. It is used
// by one goroutine at a time.
type guard struct {
	since     time.Time // local: reached without a break since then; zero while out of reach
	back      time.Time // Redis: when it was reached again after it had been away; zero when it never was
	away      bool      // a break was seen, and back is not yet known
	lastLocal time.Time
	lastRedis time.Time
}

// lost notes that the partition could not be reached.
func (g *guard) lost() {
	g.since = time.Time{}
	g.away = true
}

// reached notes an answer with Redis's time in it. A slow answer, a jump of Redis's clock and more than blind without an answer count as breaks: the
// partition may have been away while nobody asked.
func (g *guard) reached(asked, answered, redis time.Time, blind time.Duration) {
	jumped, unseen := false, false
	if !g.lastRedis.IsZero() {
		ours, theirs := answered.Sub(g.lastLocal), redis.Sub(g.lastRedis)
		jumped = theirs < 0 || theirs > ours+clockJump
		unseen = ours > blind
	}
	g.lastLocal, g.lastRedis = answered, redis
	slow := answered.Sub(asked) > slowDue
	if slow || jumped || unseen {
		g.since = time.Time{}
	}
	if g.away || slow || unseen {
		g.back, g.away = redis, false
	}
	if g.since.IsZero() {
		g.since = answered
	}
}

// settled tells whether the partition has been within reach for a whole TTL, so that every live worker had the time to renew its claims.
func (g *guard) settled(now time.Time, ttl time.Duration) bool {
	return !g.since.IsZero() && now.Sub(g.since) >= ttl
}

// awaySince tells whether the partition came back from an absence after t, in Redis's time.
func (g *guard) awaySince(t time.Time) bool { return g.back.After(t) }
