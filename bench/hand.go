package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/redisstore"
)

// hand is asynq alone: each of five handlers enqueues the next one, with all that it needs in the payload.
type hand struct {
	site
	clients [2]redis.UniversalClient // of the client, of the server
	client  *asynq.Client
	runs    ids
}

// ids numbers runs of a session.
type ids struct{ n atomic.Int64 }

func (i *ids) next() string { return strconv.FormatInt(i.n.Add(1), 10) }

// handPayload is the same business data as Stepwell's steps get: the run's input and the output of the step before.
type handPayload struct {
	Run    string          `json:"run"`
	Input  json.RawMessage `json:"input"`
	Before json.RawMessage `json:"before,omitempty"`
}

func openHand(ctx context.Context, at site) (chain, error) {
	h := &hand{site: at}
	for i := range h.clients {
		var err error
		if h.clients[i], err = redisstore.Connect(redisstore.Options{URL: at.url, Profile: redisstore.Patient}); err != nil {
			return nil, errors.Join(err, h.Close(ctx))
		}
	}
	h.client = asynq.NewClientFromRedisClient(h.clients[0])
	return h, nil
}

// Start implements chain.
func (h *hand) Start(ctx context.Context, _ string) (string, error) {
	run := h.runs.next()
	return run, h.enqueue(ctx, 1, handPayload{Run: run, Input: document(inputBytes)})
}

func (h *hand) enqueue(ctx context.Context, step int, p handPayload) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write payload: %w", err)
	}
	if _, err := h.client.EnqueueContext(ctx, asynq.NewTask(stepName(step), raw), asynq.Queue(h.queue())); err != nil {
		return fmt.Errorf("enqueue step %d: %w", step, err)
	}
	return nil
}

// Work implements chain. Settings of the server are those of internal/asynqueue.
func (h *hand) Work(ctx context.Context) error {
	server := asynq.NewServerFromRedisClient(h.clients[1], asynq.Config{
		Concurrency:              h.concurrency,
		Queues:                   map[string]int{h.queue(): 1},
		TaskCheckInterval:        pollEvery,
		DelayedTaskCheckInterval: time.Second,
		ShutdownTimeout:          grace,
		Logger:                   quiet{},
	})
	mux := asynq.NewServeMux()
	for i := 1; i <= steps; i++ {
		mux.HandleFunc(stepName(i), func(ctx context.Context, t *asynq.Task) error { return h.handle(ctx, i, t.Payload()) })
	}
	if err := server.Start(mux); err != nil {
		return fmt.Errorf("start the asynq server: %w", err)
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}

func (h *hand) handle(ctx context.Context, step int, payload []byte) error {
	var p handPayload
	if err := json.Unmarshal(payload, &p); err != nil {
		return fmt.Errorf("read payload: %w", err)
	}
	output, err := work(p.Input, p.Before)
	if err != nil {
		return err
	}
	if step == steps {
		h.ended(p.Run)
		return nil
	}
	p.Before = output
	return h.enqueue(ctx, step+1, p)
}

// Succeeded implements chain: asynq keeps nothing of a chain whose last handler has returned.
func (h *hand) Succeeded(context.Context, string) (bool, error) { return true, nil }

// Close implements chain.
func (h *hand) Close(context.Context) error {
	var all []error
	for _, c := range h.clients {
		if c != nil {
			all = append(all, c.Close())
		}
	}
	return errors.Join(all...)
}

// quiet drops asynq's log except for what stops it: a retried task shows as a lost run.
type quiet struct{}

func (quiet) Debug(...any) {}
func (quiet) Info(...any)  {}
func (quiet) Warn(...any)  {}
func (quiet) Error(...any) {}
func (quiet) Fatal(args ...any) {
	slog.Default().Error("asynq gave up", "why", fmt.Sprint(args...))
}
