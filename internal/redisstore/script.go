package redisstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed scripts/*.lua scripts/lib/*.lua
var sources embed.FS

// script is one of scripts/*.lua, ready to be called.
type script struct {
	name   string
	keys   []string // names in the order of KEYS; without a trailing "steps..." or "labels...", which callers append themselves
	text   string
	digest string
}

// readScripts assembles all scripts. flags tells whether the server knows the first line by which a script says what it may do;
// clock replaces lib/now.lua when it is not empty.
func readScripts(flags bool, clock string) (map[string]*script, error) {
	names, err := fs.Glob(sources, "scripts/*.lua")
	if err != nil {
		return nil, fmt.Errorf("list scripts: %w", err)
	}
	scripts := make(map[string]*script, len(names))
	for _, file := range names {
		sc, err := readScript(file, flags, clock)
		if err != nil {
			return nil, fmt.Errorf("script %s: %w", file, err)
		}
		scripts[sc.name] = sc
	}
	return scripts, nil
}

func readScript(file string, flags bool, clock string) (*script, error) {
	body, err := sources.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	var text strings.Builder
	if flags {
		text.WriteString("#!lua")
		if headerOf(body, "OOM") != "deny" {
			text.WriteString(" flags=allow-oom")
		}
		text.WriteString("\n")
	}
	for piece := range strings.FieldsSeq(headerOf(body, "Uses")) {
		lib := []byte(clock)
		if piece != "now" || clock == "" {
			if lib, err = sources.ReadFile("scripts/lib/" + piece + ".lua"); err != nil {
				return nil, fmt.Errorf("uses %s: %w", piece, err)
			}
		}
		text.Write(lib)
		text.WriteString("\n")
	}
	text.Write(body)
	sc := &script{name: strings.TrimSuffix(path.Base(file), ".lua"), text: text.String()}
	sc.digest = redis.NewScript(sc.text).Hash()
	for name := range strings.FieldsSeq(headerOf(body, "KEYS")) {
		if !strings.HasSuffix(name, "...") {
			sc.keys = append(sc.keys, name)
		}
	}
	return sc, nil
}

// headerOf returns what follows "-- name:" in the header of a script.
func headerOf(body []byte, name string) string {
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, "-- "+name+":"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// call is one call of a script.
type call struct {
	script *script
	keys   []string
	args   []any
}

// call makes a call of the script with the keys that its header names at a place, and more.
func (s *Store) call(name string, at place, more []string, args ...any) call {
	sc := s.scripts[name]
	keys := make([]string, 0, len(sc.keys)+len(more))
	for _, k := range sc.keys {
		keys = append(keys, s.keys.key(k, at))
	}
	return call{script: sc, keys: append(keys, more...), args: args}
}

// run calls a script by its digest, and by its text when the server does not know it: after a restart or a failover only the one server that is
// called has to be there.
func (s *Store) run(ctx context.Context, c call) (*reply, error) { return s.runOn(ctx, s.client, c) }

// runBatched is run for the calls that every step makes: those that are made at the same time share a round trip where the store has a batch.
// They may outlast the end of ctx, as long as the client tries; that is why nothing with a deadline goes this way.
func (s *Store) runBatched(ctx context.Context, c call) (*reply, error) {
	return s.runOn(ctx, s.batch, c)
}

func (s *Store) runOn(ctx context.Context, client redis.UniversalClient, c call) (*reply, error) {
	value, err := client.EvalSha(ctx, c.script.digest, c.keys, c.args...).Result()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		value, err = client.Eval(ctx, c.script.text, c.keys, c.args...).Result()
	}
	if err != nil {
		return nil, s.explain(ctx, err, c.keys)
	}
	return newReply(c.script.name, value), nil
}

// runAll calls scripts in one round trip, and those that the server did not know in a second one. The first error ends it.
func (s *Store) runAll(ctx context.Context, calls []call) ([]*reply, error) {
	cmds := s.pipeline(ctx, calls, func(p redis.Pipeliner, c *call) *redis.Cmd { return p.EvalSha(ctx, c.script.digest, c.keys, c.args...) })
	var unknown []call
	var at []int
	for i, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			unknown, at = append(unknown, calls[i]), append(at, i)
		}
	}
	if len(unknown) > 0 {
		again := s.pipeline(ctx, unknown, func(p redis.Pipeliner, c *call) *redis.Cmd { return p.Eval(ctx, c.script.text, c.keys, c.args...) })
		for i, cmd := range again {
			cmds[at[i]] = cmd
		}
	}
	replies := make([]*reply, len(cmds))
	for i, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return nil, s.explain(ctx, err, calls[i].keys)
		}
		replies[i] = newReply(calls[i].script.name, cmd.Val())
	}
	return replies, nil
}

// pipeline sends all calls at once. Each command has its own error.
func (s *Store) pipeline(ctx context.Context, calls []call, send func(redis.Pipeliner, *call) *redis.Cmd) []*redis.Cmd {
	cmds := make([]*redis.Cmd, len(calls))
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error { // the commands tell
		for i := range calls {
			cmds[i] = send(p, &calls[i])
		}
		return nil
	})
	return cmds
}

// errScript says that a script and its caller disagree, or that a key holds what it should not.
var errScript = errors.New("script")

// load loads all scripts into every master.
func (s *Store) load(ctx context.Context) error {
	err := eachMaster(ctx, s.client, func(ctx context.Context, c redis.UniversalClient) error {
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, sc := range s.scripts {
				p.ScriptLoad(ctx, sc.text)
			}
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("load scripts: %w", mapError(err))
	}
	return nil
}

// eachMaster calls fn for every master of a cluster, side by side, or for the one server.
func eachMaster(ctx context.Context, client redis.UniversalClient, fn func(context.Context, redis.UniversalClient) error) error {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return fn(ctx, c) })
	}
	return fn(ctx, client)
}
