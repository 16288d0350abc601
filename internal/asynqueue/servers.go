package asynqueue

import (
	"sync"

	"github.com/hibiken/asynq"
)

const (
	// stepsPerServer is how many steps one asynq server runs at once. A server takes tasks one by one, a round trip each, whatever its concurrency:
	// one for every 20 steps fed 550 runs of five steps a second where four fed 650 (2 cores, Redis on the same).
	stepsPerServer = 5
	// maxServers bounds the servers of a process; each asks idle queues, and forwards retries, on its own.
	maxServers = 4
)

// servers are the asynq servers of a worker, which share its concurrency.
type servers []*asynq.Server

func (w *Worker) newServers() servers {
	queues := make(map[string]int, len(w.opts.Queues))
	for name, weight := range w.opts.Queues {
		queues[QueueName(w.opts.Prefix, name)] = weight
	}
	n := min(max(w.opts.Concurrency/stepsPerServer, 1), maxServers)
	all := make(servers, n)
	for i := range all {
		all[i] = asynq.NewServerFromRedisClient(w.opts.Client, asynq.Config{
			Concurrency:              (w.opts.Concurrency + i) / n, // they add up to the whole
			Queues:                   queues,
			TaskCheckInterval:        checkInterval,
			DelayedTaskCheckInterval: forwardInterval,
			IsFailure:                isFailure,
			RetryDelayFunc:           w.retryDelay,
			Logger:                   asynqLog{w.opts.Log},
			ShutdownTimeout:          w.opts.Grace,
		})
	}
	return all
}

// start starts all servers or none.
func (s servers) start(h asynq.Handler) error {
	for i, server := range s {
		if err := server.Start(h); err != nil {
			s[:i].stop()
			return err
		}
	}
	return nil
}

// stop ends all servers at the same time and waits for them.
func (s servers) stop() {
	var wg sync.WaitGroup
	for _, server := range s {
		wg.Go(func() {
			server.Stop() // at once; Shutdown by itself would first wait for other parts of asynq
			server.Shutdown()
		})
	}
	wg.Wait()
}
