package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
)

// passing lists the first words of errors by which a server says that it cannot answer now; repeating may help.
func passing() []string {
	return []string{
		"LOADING", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "MOVED", "ASK", "BUSY", "MISCONF", "NOREPLICAS", "UNBLOCKED",
		"max number of clients", // prefixed by ERR, which go-redis leaves out of the comparison
	}
}

// mapError gives an error of the client its meaning: [engine.ErrMemory], [engine.ErrUnavailable], or itself when repeating cannot cure it.
// The cause stays, and so do errors of the context.
func mapError(err error) error {
	var answer redis.Error
	switch {
	case err == nil, errors.Is(err, engine.ErrUnavailable), errors.Is(err, engine.ErrMemory):
		return err
	case redis.HasErrorPrefix(err, "OOM"):
		return fmt.Errorf("%w: %w", engine.ErrMemory, err)
	case !errors.As(err, &answer), slices.ContainsFunc(passing(), func(p string) bool { return redis.HasErrorPrefix(err, p) }):
		return fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
	}
	return err
}

// explain maps an error, and finds the key whose type is not that of the schema when the server complains of one.
func (s *Store) explain(ctx context.Context, err error, keys []string) error {
	if mapped := mapError(err); errors.Is(mapped, engine.ErrUnavailable) || errors.Is(mapped, engine.ErrMemory) {
		return mapped
	}
	if !strings.Contains(err.Error(), "WRONGTYPE") {
		return fmt.Errorf("%w on %s: %w", errScript, keys[0], err)
	}
	for _, key := range keys {
		kind, typeErr := s.client.Type(ctx, key).Result()
		if want := s.keys.kindOf(key); typeErr == nil && kind != want && kind != "none" {
			return fmt.Errorf("%w: key %s is a %s and must be a %s: %w", errScript, key, kind, want, err)
		}
	}
	return fmt.Errorf("%w on %s: %w", errScript, keys[0], err)
}

// kindOf returns the Redis type that a key of the schema has.
func (k keyspace) kindOf(key string) string {
	_, rest, _ := strings.Cut(key, "}:")
	head, _, _ := strings.Cut(rest, ":")
	switch head {
	case "in":
		return kindString
	case "log":
		return kindList
	case "agenda", "claims", "doubts", "dlq", "idx", "sweepers":
		return kindZset
	}
	if rest == "wf" {
		return kindSet
	}
	return kindHash
}

// isAnswer tells whether the server answered with an error that repeating cannot cure: not permitted, or not known to it.
func isAnswer(err error) bool {
	return err != nil && !errors.Is(err, engine.ErrUnavailable) && !errors.Is(err, engine.ErrMemory)
}
