package redisstore

import (
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
)

var _ engine.Store = (*Store)(nil)

// Store is the [engine.Store] on Redis. [Open] makes one. It is safe for concurrent use, and does not own its client.
type Store struct {
	client  redis.UniversalClient
	batch   redis.UniversalClient // client, or Config.Batch
	strict  int                   // Config.StrictReplicas
	keys    keyspace
	scripts map[string]*script
	graphs  graphCache
}
