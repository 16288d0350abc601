package redisstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	patienceTries = 30                   // repetitions of a command
	patienceFirst = 8 * time.Millisecond // before the first of them; each later pause is twice as long
	patienceMax   = time.Second          // the longest pause
)

// patience repeats commands that got no answer, each time on another connection. The client's own retries will not do: they also repeat the
// greeting of a new connection, on that very connection, for half a minute although it ended before the first word and Redis has long been
// back. Load balancers make such connections.
type patience struct{}

func (patience) DialHook(next redis.DialHook) redis.DialHook { return next }

func (patience) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return patiently(ctx, cmd, func() error { return next(ctx, cmd) })
	}
}

func (patience) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return patiently(ctx, cmds[0], func() error { return next(ctx, cmds) })
	}
}

// patiently calls until there is an answer. first tells a greeting, which is not repeated, from anything else.
func patiently(ctx context.Context, first redis.Cmder, call func() error) error {
	wait := patienceFirst
	for n := 0; ; n++ {
		err := call()
		if err == nil || n == patienceTries || greets(first) || !unanswered(err) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		wait = min(2*wait, patienceMax)
	}
}

// greets tells whether a command is one of those with which a connection begins.
func greets(cmd redis.Cmder) bool {
	return slices.Contains([]string{"hello", "auth", "client", "select", "readonly"}, cmd.Name())
}

// unanswered tells whether the server did not get to answer, or only that it cannot now.
func unanswered(err error) bool {
	if _, answered := errors.AsType[redis.Error](err); answered {
		return slices.ContainsFunc([]string{"LOADING", "READONLY", "MASTERDOWN", "TRYAGAIN"}, func(p string) bool { return redis.HasErrorPrefix(err, p) })
	}
	return !errors.Is(err, redis.ErrClosed)
}
