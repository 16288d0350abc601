// Package redisdump reads everything that an installation keeps of its runs in Redis, in the form in which package enginetest checks it.
//
// A dump is made of many commands. Take it when nothing changes any more, or expect to see the middle of a change.
package redisdump

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
)

const page = 10_000 // keys to look at in one step of a scan

// Keys lists the keys of the installation with this prefix.
func Keys(ctx context.Context, client redis.UniversalClient, prefix string) ([]string, error) {
	var keys []string
	var cursor uint64
	for {
		found, next, err := client.Scan(ctx, cursor, "{"+prefix+"*", page).Result()
		if err != nil {
			return nil, fmt.Errorf("list the keys of %s: %w", prefix, err)
		}
		for _, key := range found {
			if strings.HasPrefix(key, "{"+prefix+":") || strings.HasPrefix(key, "{"+prefix+"}") {
				keys = append(keys, key)
			}
		}
		if cursor = next; cursor == 0 {
			return keys, nil
		}
	}
}

// Read reads every key of every partition. The state is not normalized.
func Read(ctx context.Context, client redis.UniversalClient, prefix string) (enginetest.State, error) {
	state := enginetest.NewState()
	keys, err := Keys(ctx, client, prefix)
	if err != nil {
		return state, err
	}
	var enter []func()
	pipe := client.Pipeline()
	for _, key := range keys {
		if _, name, ok := strings.Cut(key, "}:"); ok && strings.HasPrefix(key, "{"+prefix+":") {
			enter = append(enter, enterKey(ctx, pipe, &state, key, name))
		}
	}
	if len(enter) == 0 {
		return state, nil // an empty pipeline is nothing to complain of
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return state, fmt.Errorf("read %d keys of %s: %w", len(enter), prefix, err)
	}
	for _, e := range enter {
		e()
	}
	return state, nil
}

// enterKey reads a key in the pipeline; what it returns enters the key's content into the state.
func enterKey(ctx context.Context, p redis.Pipeliner, state *enginetest.State, key, name string) func() {
	kind, rest, _ := strings.Cut(name, ":")
	switch kind {
	case "run", "out", "steps", "idem", "def":
		cmd := p.HGetAll(ctx, key)
		return func() { enterHash(state, kind, rest, cmd.Val()) }
	case "in":
		cmd := p.Get(ctx, key)
		return func() { state.Inputs[rest] = cmd.Val() }
	case "log":
		cmd := p.LRange(ctx, key, 0, -1)
		return func() { state.Logs[rest] = cmd.Val() }
	case "agenda", "claims", "doubts", "dlq", "idx":
		cmd := p.ZRangeWithScores(ctx, key, 0, -1)
		return func() { enterZset(state, kind, rest, cmd.Val()) }
	}
	return func() {} // nothing that the state knows, such as a feed
}

func enterHash(state *enginetest.State, kind, id string, values map[string]string) {
	switch kind {
	case "run":
		state.Runs[id] = values
	case "out":
		state.Outputs[id] = values
	case "idem":
		state.Idem[id] = values
	case "steps":
		steps := map[string]enginetest.Fields{}
		for field, value := range values {
			i := max(strings.LastIndex(field, ":"), 0)
			if steps[field[:i]] == nil {
				steps[field[:i]] = enginetest.Fields{}
			}
			steps[field[:i]][field[i+1:]] = value
		}
		state.Steps[id] = steps
	}
}

func enterZset(state *enginetest.State, kind, rest string, members []redis.Z) {
	target := map[string]map[string]int64{"agenda": state.Agenda, "claims": state.Claims, "doubts": state.Doubts, "dlq": state.DLQ}[kind]
	if kind == "idx" {
		if state.Index[rest] == nil { // the same list of another partition
			state.Index[rest] = map[string]int64{}
		}
		target = state.Index[rest]
	}
	for _, z := range members {
		target[fmt.Sprint(z.Member)] = int64(z.Score)
	}
}
