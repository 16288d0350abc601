package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/stepwell/stepwell/internal/localredis"
)

// server is the Redis of a bench, with a client of the bench's own whose commands no figure contains.
type server struct {
	URL   string
	Info  redisInfo
	local *localredis.Server
	admin *redis.Client
}

// redisInfo is what the report says of the Redis.
type redisInfo struct {
	Version     string `json:"version"`
	Own         bool   `json:"own"` // started for this bench
	AppendOnly  string `json:"appendonly"`
	AppendFsync string `json:"appendfsync"`
	Policy      string `json:"maxmemory_policy"`
}

// startServer starts a Redis, or uses that of a URL. An own one never rewrites its append-only file, which would fall into one side's time.
func startServer(ctx context.Context, url, fsync string) (*server, error) {
	local, err := localredis.Start(ctx, localredis.Options{
		URL: url, RequireReal: true, AppendFsync: fsync, ExtraArgs: []string{"--auto-aof-rewrite-percentage", "0"},
	})
	if err != nil {
		return nil, err
	}
	s := &server{URL: local.URL, local: local}
	options, err := redis.ParseURL(local.URL)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bench needs a single Redis, redis://host:port/db: %w", err), local.Close(ctx))
	}
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled} // a feature of Redis Enterprise
	s.admin = redis.NewClient(options)
	s.Info = redisInfo{Version: local.Version, Own: local.Kind == localredis.Process}
	for name, value := range map[string]*string{
		"appendonly": &s.Info.AppendOnly, "appendfsync": &s.Info.AppendFsync, "maxmemory-policy": &s.Info.Policy,
	} {
		answer, err := s.admin.ConfigGet(ctx, name).Result()
		if *value = answer[name]; err != nil {
			*value = "not told"
		}
	}
	return s, nil
}

// Close ends the client, and a Redis that was started for the bench.
func (s *server) Close(ctx context.Context) error {
	return errors.Join(s.admin.Close(), s.local.Close(ctx))
}

// counters are what Redis counts of itself.
type counters struct {
	CPU         time.Duration
	NetIn       int64 // bytes
	NetOut      int64
	Connections int64
	Scripts     int64 // calls of EVALSHA
	Commands    int64
}

func (c counters) minus(o counters) counters {
	return counters{
		CPU: c.CPU - o.CPU, NetIn: c.NetIn - o.NetIn, NetOut: c.NetOut - o.NetOut,
		Connections: c.Connections - o.Connections, Scripts: c.Scripts - o.Scripts, Commands: c.Commands - o.Commands,
	}
}

func (s *server) counters(ctx context.Context) (counters, error) {
	text, err := s.admin.Info(ctx, "cpu", "stats", "commandstats").Result()
	if err != nil {
		return counters{}, fmt.Errorf("ask Redis for its counters: %w", err)
	}
	fields := parseInfo(text)
	whole := func(name string) int64 {
		n, _ := strconv.ParseInt(fields[name], 10, 64) // 0 for what this server does not count
		return n
	}
	var seconds float64
	for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
		f, _ := strconv.ParseFloat(fields[name], 64) // likewise
		seconds += f
	}
	calls, _, _ := strings.Cut(strings.TrimPrefix(fields["cmdstat_evalsha"], "calls="), ",")
	scripts, _ := strconv.ParseInt(calls, 10, 64) // none so far
	return counters{
		CPU: time.Duration(seconds * float64(time.Second)), NetIn: whole("total_net_input_bytes"), NetOut: whole("total_net_output_bytes"),
		Connections: whole("total_connections_received"), Scripts: scripts, Commands: whole("total_commands_processed"),
	}, nil
}

func parseInfo(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// scanCount is how many keys one SCAN looks at.
const scanCount = 1000

// keys calls do with every key of a session, some at a time.
func (s *server) keys(ctx context.Context, prefix string, do func(keys []string) error) error {
	// {prefix:pp}:… and {prefix}:… are ours, asynq:{prefix-queue}:… those of its queues.
	for _, pattern := range []string{"{" + prefix + "[:}]*", "asynq:{" + prefix + "-*"} {
		for cursor := uint64(0); ; {
			found, next, err := s.admin.Scan(ctx, cursor, pattern, scanCount).Result()
			if err != nil {
				return fmt.Errorf("list the keys of a session: %w", err)
			}
			if len(found) > 0 {
				if err := do(found); err != nil {
					return err
				}
			}
			if cursor = next; cursor == 0 {
				break
			}
		}
	}
	return nil
}

// sweep deletes what a session left behind.
func (s *server) sweep(ctx context.Context, prefix, queue string) error {
	err := s.keys(ctx, prefix, func(keys []string) error { return s.admin.Unlink(ctx, keys...).Err() })
	return errors.Join(err, s.admin.SRem(ctx, "asynq:queues", queue).Err())
}

// memory sums MEMORY USAGE over the keys of a session, by kind of key.
func (s *server) memory(ctx context.Context, prefix string) (map[string]int64, error) {
	byKind := map[string]int64{}
	seen := map[string]bool{} // SCAN may name a key twice
	err := s.keys(ctx, prefix, func(keys []string) error {
		cmds, err := s.admin.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, key := range keys {
				p.MemoryUsage(ctx, key, 0) // 0: every element
			}
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) { // gone meanwhile
			return fmt.Errorf("size of keys: %w", err)
		}
		for i, key := range keys {
			if cmd, ok := cmds[i].(*redis.IntCmd); ok && !seen[key] {
				seen[key] = true
				byKind[kindOf(key)] += cmd.Val()
			}
		}
		return nil
	})
	return byKind, err
}

// kindOf is the name of a key without what differs from run to run.
func kindOf(key string) string {
	owner, rest, _ := strings.Cut(key, "}:")
	kind, _, _ := strings.Cut(rest, ":")
	if strings.HasPrefix(owner, "asynq:") {
		return "asynq " + kind
	}
	return kind
}
