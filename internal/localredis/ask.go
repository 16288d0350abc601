package localredis

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// identity is what INFO tells about a server.
type identity struct {
	pid     int
	version string
}

// ask connects, says PING and INFO, and disconnects.
func ask(ctx context.Context, o *redis.Options) (identity, error) {
	c := redis.NewClient(o)
	defer func(c io.Closer) { _ = c.Close() }(c) // only asked
	if err := c.Ping(ctx).Err(); err != nil {
		return identity{}, err
	}
	text, err := c.Info(ctx, "server").Result()
	if err != nil {
		return identity{}, nil // it answers; INFO may be denied to us
	}
	var who identity
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "process_id":
			who.pid, _ = strconv.Atoi(value)
		case "redis_version":
			if who.version == "" {
				who.version = value
			}
		case "valkey_version":
			who.version = value
		}
	}
	return who, nil
}
