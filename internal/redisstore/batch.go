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
	// One batch at a time would let client and server wait for each other in turn; small ones side by side keep both busy. The order among
	// goroutines is of no matter to any call that goes this way.
	options := &redis.AutoPipelineOptions{MaxConcurrentBatches: 4, MaxBatchSize: 5, Unordered: true}
	var (
		batch *redis.AutoPipeliner
		err   error
	)
	switch c := client.(type) {
	case *redis.Client:
		batch, err = c.AutoPipelineWithOptions(options)
	case *redis.ClusterClient:
		batch, err = c.AutoPipelineWithOptions(options)
	default:
		return nil, fmt.Errorf("batch commands: %T is no client of Connect", client)
	}
	if err != nil {
		return nil, fmt.Errorf("batch commands: %w", err)
	}
	return batch, nil
}
