package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/pkg/dag"
)

// serverInfo is what INFO and CONFIG tell of a server; what it does not tell is absent.
type serverInfo map[string]string

// readInfo asks a server about itself. A section that it does not know, or does not show, is left out.
func readInfo(ctx context.Context, c redis.UniversalClient) (serverInfo, error) {
	info := serverInfo{}
	if err := info.read(ctx, c, "server", "memory", "persistence", "replication"); err != nil {
		return nil, err
	}
	for _, name := range []string{"maxmemory-policy", "appendfsync", "save"} {
		values, err := c.ConfigGet(ctx, name).Result()
		if err := mapError(err); err != nil && !isAnswer(err) {
			return nil, err
		}
		for k, v := range values {
			info["config:"+k] = v
		}
	}
	return info, nil
}

// read adds sections of INFO, of which one that the server does not know or does not show adds nothing; denied is set when it shows none.
func (i serverInfo) read(ctx context.Context, c redis.UniversalClient, sections ...string) error {
	for _, section := range sections {
		text, err := c.Info(ctx, section).Result()
		if err := mapError(err); err != nil {
			if !isAnswer(err) {
				return err
			}
			if denied(err) {
				i["denied"] = "INFO"
			}
			continue
		}
		for line := range strings.Lines(text) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				i[name] = value
			}
		}
	}
	return nil
}

// denied tells whether an error says that we may not, because of the user's rules or because the command was taken away. An embedded miniredis has no
// INFO worth the name and says so in another way.
func denied(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || strings.Contains(err.Error(), "unknown command")
}

func (i serverInfo) number(name string) int64 {
	n, err := strconv.ParseInt(i[name], 10, 64)
	if err != nil {
		return 0 // the server does not tell
	}
	return n
}

// policy is the eviction policy; "" when the server tells it in neither way.
func (i serverInfo) policy() string {
	if p, ok := i["maxmemory_policy"]; ok {
		return p
	}
	return i["config:maxmemory-policy"]
}

func (i serverInfo) persistence() string {
	save, knowsSave := i["config:save"]
	switch {
	case i["aof_enabled"] == "1" && i["config:appendfsync"] != "":
		return "aof " + i["config:appendfsync"]
	case i["aof_enabled"] == "1":
		return "aof"
	case i["aof_enabled"] == "" || !knowsSave:
		return "unknown"
	case save != "":
		return "rdb"
	}
	return "none"
}

// Info implements [engine.Catalog]. For a cluster memory is the sum of all masters.
func (s *Store) Info(ctx context.Context) (dag.StoreInfo, error) {
	var mu sync.Mutex
	var all dag.StoreInfo
	err := eachMaster(ctx, s.client, func(ctx context.Context, c redis.UniversalClient) error {
		info, err := readInfo(ctx, c)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all.Version, all.Mode, all.Persistence = cmp.Or(info["redis_version"], "unknown"), modeOf(s.client), info.persistence()
		all.UsedMemory += info.number("used_memory")
		all.MaxMemory += info.number("maxmemory")
		return nil
	})
	if err != nil {
		return dag.StoreInfo{}, fmt.Errorf("ask the server about itself: %w", mapError(err))
	}
	return all, nil
}

// MemoryUse implements [engine.Starts]. Of a cluster it tells of the fullest master: a run goes to a certain one. A server that does not show its memory
// counts as one without a limit, and refuses new runs by itself when there is none left.
func (s *Store) MemoryUse(ctx context.Context) (dag.Memory, error) {
	var mu sync.Mutex
	var fullest dag.Memory
	share := func(m dag.Memory) float64 { return float64(m.Used) / float64(max(m.Max, 1)) }
	err := eachMaster(ctx, s.client, func(ctx context.Context, c redis.UniversalClient) error {
		info := serverInfo{}
		if err := info.read(ctx, c, "memory"); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if m := (dag.Memory{Used: info.number("used_memory"), Max: info.number("maxmemory")}); m.Max > 0 && share(m) >= share(fullest) {
			fullest = m
		}
		return nil
	})
	if err != nil {
		return dag.Memory{}, fmt.Errorf("ask for the memory in use: %w", mapError(err))
	}
	return fullest, nil
}

// modeOf is how the client reaches Redis.
func modeOf(client redis.UniversalClient) string {
	switch c := client.(type) {
	case *redis.ClusterClient:
		return "cluster"
	case *redis.Client:
		if c.Options().Addr == failoverAddr {
			return "sentinel"
		}
	}
	return "standalone"
}

// failoverAddr is what go-redis calls the address of a client that asks Sentinel for it.
const failoverAddr = "FailoverClient"
