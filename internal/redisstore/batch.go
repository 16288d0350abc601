package redisstore

import (
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Batching returns a client that sends what goroutines ask for at the same moment in one round trip; a goroutine that is alone does not wait.
//
// A call does not return before its batch does, whatever its context says. It is for commands that may be repeated, because a batch is repeated as
// a whole. It ends with the client, which stays its caller's.
func Batching(client redis.UniversalClient) (redis.UniversalClient, error) {
	var (
		batch *redis.AutoPipeliner
		err   error
	)
	switch c := client.(type) {
	case *redis.Client:
		batch, err = c.AutoPipeline()
	case *redis.ClusterClient:
		batch, err = c.AutoPipeline()
	default:
		return nil, fmt.Errorf("batch commands: %T is no client of Connect", client)
	}
	if err != nil {
		return nil, fmt.Errorf("batch commands: %w", err)
	}
	return batch, nil
}
