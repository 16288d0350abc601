package app

import (
	"context"
	"fmt"
	"log/slog"
)

// redisLog takes what go-redis says about its connections, for whoever looks for it: a call that fails is reported by its caller.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, args ...any) {
	l.log.DebugContext(ctx, "redis client", "text", fmt.Sprintf(format, args...))
}
