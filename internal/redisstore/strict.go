package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
)

const (
	strictLimit = quickLimit              // for one confirmed call in all: as long as a quick client tries
	strictWait  = 1500 * time.Millisecond // of it, for replicas to confirm
	strictFirst = 10 * time.Millisecond   // before a cluster is asked again where the key is; each later pause is twice as long
	strictMax   = 200 * time.Millisecond  // the longest pause
)

// errUnconfirmed says that fewer replicas than asked for have what the master has.
var errUnconfirmed = errors.New("not confirmed by replicas")

// runConfirmed is run for what must survive the loss of the master: see [Config.StrictReplicas].
func (s *Store) runConfirmed(ctx context.Context, c call) (*reply, error) {
	if s.strict == 0 {
		return s.run(ctx, c)
	}
	var cmd *redis.Cmd
	err := s.confirmed(ctx, c.keys[0], func(p redis.Pipeliner) { cmd = p.EvalSha(ctx, c.script.digest, c.keys, c.args...) })
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = s.confirmed(ctx, c.keys[0], func(p redis.Pipeliner) { cmd = p.Eval(ctx, c.script.text, c.keys, c.args...) })
	}
	if err != nil {
		return nil, s.explain(ctx, err, c.keys)
	}
	return newReply(c.script.name, cmd.Val()), nil
}

// confirmed sends one command and WAIT right behind it on the same connection: WAIT counts the replicas that have all that the master had when that
// connection's last write was done. So it vouches for what a repeated request finds there only because scripts write that again. Both travel in one
// round trip.
//
// The client of a cluster would send WAIT to any node. So the master of the key is called directly, and asked for again while the slot or the
// mastership moves.
func (s *Store) confirmed(ctx context.Context, key string, send func(redis.Pipeliner)) error {
	ctx, cancel := context.WithTimeout(ctx, strictLimit)
	defer cancel()
	for pause := strictFirst; ; pause = min(2*pause, strictMax) {
		err := s.confirmOnce(ctx, key, send)
		cluster, ok := s.client.(*redis.ClusterClient)
		if !ok || err == nil || errors.Is(err, errUnconfirmed) || !errors.Is(mapError(err), engine.ErrUnavailable) {
			return err
		}
		cluster.ReloadState(ctx)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

func (s *Store) confirmOnce(ctx context.Context, key string, send func(redis.Pipeliner)) error {
	master, err := s.masterOf(ctx, key)
	if err != nil {
		return err
	}
	pipe := master.WithTimeout(strictLimit).Pipeline() // the connections are those of master; its own limit may be shorter than the wait
	send(pipe)
	wait := pipe.Do(ctx, "wait", s.strict, strictWait.Milliseconds())
	cmds, err := pipe.Exec(ctx)
	if len(cmds) > 0 && cmds[0].Err() != nil {
		return cmds[0].Err()
	}
	if err != nil {
		return err
	}
	got, err := wait.Int64()
	if err != nil {
		return err
	}
	if got < int64(s.strict) {
		return fmt.Errorf("%w: %w: %d of %d did within %s; repeat the request with the same idempotency key",
			engine.ErrUnavailable, errUnconfirmed, got, s.strict, strictWait)
	}
	return nil
}

// masterOf is the client of the server that has the key.
func (s *Store) masterOf(ctx context.Context, key string) (*redis.Client, error) {
	switch c := s.client.(type) {
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, key)
	case *redis.Client:
		return c, nil
	}
	return nil, fmt.Errorf("%w: %T is no client of Connect", errScript, s.client)
}
