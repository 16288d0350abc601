package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/pkg/dag"
)

// clock reads the time from a key that stands beside those of the installation, so that a test sets it.
const clock = `
local function now()
  return tonumber(redis.call('GET', string.match(KEYS[1], '^{([^:}]+)') .. '-clock'))
end
`

// ClockKey is where OpenWithClock's store reads its time, in ms.
func ClockKey(prefix string) string { return prefix + "-clock" }

// OpenWithClock is Open of a store whose time a test sets.
func OpenWithClock(ctx context.Context, client redis.UniversalClient, cfg Config) (*Store, error) {
	return open(ctx, client, cfg, clock)
}

// Key builds a key of the schema.
func Key(prefix, name string, partition int, run string) string {
	return keyspace{prefix: prefix}.key(name, place{partition: partition, run: run})
}

// KeyForm is a row of the schema, with upper-case words where a key differs.
type KeyForm struct{ Name, Form, Kind, Holds string }

// Schema returns all rows of the schema.
func Schema() []KeyForm {
	at := place{partition: 0x3f, run: "ID", def: "DIGEST", workflow: "NS/NAME", key: "KEY", label: "NAME=VALUE"}
	var rows []KeyForm
	for _, f := range keyForms() {
		rows = append(rows, KeyForm{f.name, keyspace{prefix: DefaultPrefix}.key(f.name, at), f.kind, f.holds})
	}
	return rows
}

// KindOf returns the type of a key of the schema.
func KindOf(prefix, key string) string { return keyspace{prefix: prefix}.kindOf(key) }

// MapError is mapError.
func MapError(err error) error { return mapError(err) }

// ScriptNames returns the names of keys that each script gets, by script.
func ScriptNames() (map[string][]string, error) {
	scripts, err := readScripts(true, "")
	names := map[string][]string{}
	for name, sc := range scripts {
		names[name] = sc.keys
	}
	return names, err
}

// RunStates is runStates.
func RunStates() []dag.RunState { return runStates() }
