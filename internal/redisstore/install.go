package redisstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	minMajor     = 7 // flags of scripts
	maxClockSkew = 5 * time.Second
)

var prefixPattern = regexp.MustCompile(`^[a-z0-9-]{1,16}$`)

// Config of [Open]. Its zero value is that of production.
type Config struct {
	Prefix string           // of every key: [a-z0-9-]{1,16}; "" means sw
	Dev    bool             // a wrong maxmemory-policy or clock is a warning, not a refusal
	Warn   func(string)     // gets what an operator should know; nil drops it
	Now    func() time.Time // the clock to compare with the server's; nil means time.Now
	// Batch carries begin, complete, fail and release, for a process that makes many of them at once: see [Batching]. Nil means the client.
	Batch redis.UniversalClient
	// StrictReplicas is the number of replicas that must confirm a new run, or one that a repeated request finds, before CreateRun and RunOfKey
	// answer; when fewer do within 1.5 s they return [engine.ErrUnavailable]. 0 means that the master alone answers for it.
	StrictReplicas int
}

// Open checks that the server behind client can carry runs, writes what an installation consists of, loads the scripts and returns the store.
//
// It refuses, with the mend in the error: a server that cannot be reached ([engine.ErrUnavailable]); Redis before 7.0; a maxmemory-policy other
// than noeviction; a clock more than 5 s off; an installation of another schema or number of partitions under the same prefix.
// An embedded miniredis is accepted.
func Open(ctx context.Context, client redis.UniversalClient, cfg Config) (*Store, error) {
	return open(ctx, client, cfg, "")
}

// open is Open with a text that replaces lib/now.lua unless it is empty.
func open(ctx context.Context, client redis.UniversalClient, cfg Config, clock string) (*Store, error) {
	if cfg.Prefix == "" {
		cfg.Prefix = DefaultPrefix
	}
	if !prefixPattern.MatchString(cfg.Prefix) {
		return nil, fmt.Errorf("%w prefix %q of Redis keys: 1 to 16 of a-z, 0-9 and -", dag.ErrInvalid, cfg.Prefix)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the one place where this package meets the process's clock
	}
	if cfg.Warn == nil {
		cfg.Warn = func(string) {}
	}
	s := &Store{client: client, batch: client, strict: cfg.StrictReplicas, keys: keyspace{prefix: cfg.Prefix}}
	if cfg.Batch != nil {
		s.batch = cfg.Batch
	}
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, unreachable(client, err)
	}
	if err := eachMaster(ctx, client, cfg.check); err != nil {
		if _, refused := errors.AsType[*refusedError](err); !refused {
			err = mapError(err)
		}
		return nil, fmt.Errorf("open the store: %w", err)
	}
	flags, err := s.knowsFlags(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if s.scripts, err = readScripts(flags, clock); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if err := s.install(ctx); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return s, nil
}

// unreachable says what to do about a server that did not answer.
func unreachable(client redis.UniversalClient, err error) error {
	if redis.HasErrorPrefix(err, "NOAUTH") || redis.HasErrorPrefix(err, "WRONGPASS") || redis.HasErrorPrefix(err, "NOPERM") {
		return fmt.Errorf("redis at %s refuses the user name or password; put them into redis.url, redis://user:password@host:6379/0: %w", addressOf(client), err)
	}
	return fmt.Errorf("redis at %s cannot be reached; start one there (redis-server --appendonly yes --maxmemory-policy noeviction) or point redis.url "+
		"(STEPWELL_REDIS_URL) to one: %w", addressOf(client), mapError(err))
}

// addressOf names where a client connects to, without user and password.
func addressOf(client redis.UniversalClient) string {
	switch c := client.(type) {
	case *redis.ClusterClient:
		return strings.Join(c.Options().Addrs, ",")
	case *redis.Client:
		if c.Options().Addr != failoverAddr {
			return c.Options().Addr
		}
		return "the address that Sentinel tells"
	}
	return "its address"
}

// check refuses a master that cannot carry runs.
func (c *Config) check(ctx context.Context, master redis.UniversalClient) error {
	info, err := readInfo(ctx, master)
	if err != nil {
		return err
	}
	if info["denied"] != "" {
		c.Warn("redis at " + addressOf(master) + " denies INFO; see to it that its version is 7.0 or later; new runs are refused when memory is used up, not before")
	}
	version, known := info["redis_version"]
	if major, _, _ := strings.Cut(version, "."); known {
		if n, err := strconv.Atoi(major); err == nil && n < minMajor {
			return &refusedError{fmt.Errorf("redis at %s is version %s; 7.0 or later is needed (flags of scripts): upgrade it", addressOf(master), version)}
		}
	}
	switch policy := info.policy(); {
	case policy == "" && (known || info["denied"] != ""):
		c.Warn("redis at " + addressOf(master) + " does not show its maxmemory-policy; see to it that it is noeviction, or runs get lost when memory runs out")
	case policy != "" && policy != "noeviction":
		err = fmt.Errorf("redis at %s has maxmemory-policy %s, which throws runs away when memory runs out; "+
			"set it: redis-cli config set maxmemory-policy noeviction, and in redis.conf", addressOf(master), policy)
	}
	if info["role"] == "master" && c.StrictReplicas > 0 {
		c.compareReplicas(addressOf(master), int(info.number("connected_slaves")))
	}
	return errors.Join(c.tolerate(err), c.tolerate(c.checkClock(ctx, master)))
}

// compareReplicas warns when a master has other replicas than strict durability asks for.
func (c *Config) compareReplicas(addr string, has int) {
	switch {
	case has < c.StrictReplicas:
		c.Warn(fmt.Sprintf("durability is strict, with %d replicas, and redis at %s has %d: it takes no new runs until it has as many", c.StrictReplicas, addr, has))
	case has > c.StrictReplicas:
		c.Warn(fmt.Sprintf("durability is strict, with %d replicas, and redis at %s has %d: SENTINEL FAILOVER may promote one that has not confirmed, and lose new runs; "+
			"set redis.durability_replicas to %d, or pause writes before you do that", c.StrictReplicas, addr, has, has))
	}
}

// refusedError says that a server answers and is not as it must be.
type refusedError struct{ error }

func (r *refusedError) Unwrap() error { return r.error }

// tolerate makes a refusal a warning in dev.
func (c *Config) tolerate(err error) error {
	switch {
	case err == nil, errors.Is(err, engine.ErrUnavailable):
		return err
	case !c.Dev:
		return &refusedError{err}
	}
	c.Warn(err.Error())
	return nil
}

func (c *Config) checkClock(ctx context.Context, master redis.UniversalClient) error {
	before := c.Now()
	there, err := master.Time(ctx).Result()
	if err != nil {
		return mapError(err)
	}
	took := c.Now().Sub(before)
	off := there.Sub(before.Add(took / 2))
	if off.Abs() <= maxClockSkew+took/2 {
		return nil
	}
	return fmt.Errorf("the clock of this machine and that of redis at %s are %s apart, at most %s is allowed; set them by NTP",
		addressOf(master), off.Abs().Round(time.Millisecond), maxClockSkew)
}

// knowsFlags tells whether the server takes a script that begins with flags; an embedded miniredis does not.
func (s *Store) knowsFlags(ctx context.Context) (bool, error) {
	err := mapError(s.client.ScriptLoad(ctx, "#!lua flags=allow-oom\nreturn 1").Err())
	if err != nil && !isAnswer(err) {
		return false, fmt.Errorf("load a script: %w", err)
	}
	return err == nil, nil
}

// install writes the record of the installation, or compares with it.
func (s *Store) install(ctx context.Context) error {
	key := s.keys.key("install", place{})
	want := map[string]string{"schema": strconv.Itoa(schemaVersion), "partitions": strconv.Itoa(dag.Partitions)}
	found := s.client.HGetAll(ctx, key)
	err := found.Err()
	if err == nil && len(found.Val()) < len(want) { // not always: a process must start where memory is used up, too
		_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for field, value := range want {
				p.HSetNX(ctx, key, field, value)
			}
			found = p.HGetAll(ctx, key)
			return nil
		})
	}
	if err != nil {
		return s.explain(ctx, err, []string{key})
	}
	for field, value := range want {
		if got := found.Val()[field]; got != value {
			return fmt.Errorf("key %s says %s %s, this release has %s; use the release that made it, or another redis.prefix", key, field, got, value)
		}
	}
	return nil
}
