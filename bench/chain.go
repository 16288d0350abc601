package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

const (
	steps       = 5
	inputBytes  = 256                   // the run's input
	outputBytes = 128                   // the output of each step
	pollEvery   = 10 * time.Millisecond // the hand-chained server's pause when its queues are empty; ours have four that ask every 20 ms in turn
	grace       = 10 * time.Second      // for the end of a worker
)

// end is the return of a last handler.
type end struct {
	run string
	at  time.Time
}

// site is where a chain runs.
type site struct {
	url         string // of Redis, or of the tap before it
	prefix      string // of the session's keys and queue names
	concurrency int
	ended       func(run string) // called by the last handler as it returns
}

// queue is asynq's name of the session's only queue.
func (s site) queue() string { return s.prefix + "-" + queueName }

const queueName = "bench"

// chain is a way to run five steps in a row. It belongs to one session.
type chain interface {
	// Start starts a run. A key is for Stepwell's idempotency.
	Start(ctx context.Context, key string) (run string, err error)
	// Work runs handlers until ctx ends, and leaves nothing running.
	Work(ctx context.Context) error
	// Succeeded tells whether a run's end is recorded, where the system records any.
	Succeeded(ctx context.Context, run string) (bool, error)
	// Close is called after Work has returned.
	Close(ctx context.Context) error
}

// system is one of those that are compared.
type system struct {
	name string
	open func(ctx context.Context, at site) (chain, error)
}

// The names of the systems, in the order of their turns.
const (
	nameOurs = "stepwell"
	nameHand = "hand-chained"
)

func systems() []system {
	return []system{{nameOurs, openOurs}, {nameHand, openHand}}
}

// document is a JSON document of exactly n bytes.
func document(n int) json.RawMessage {
	const frame = `{"text":""}`
	return json.RawMessage(`{"text":"` + strings.Repeat("x", n-len(frame)) + `"}`)
}

// stepName numbers steps from 1.
func stepName(i int) string { return fmt.Sprintf("step_%d", i) }

// work is what every handler of both systems does: read the run's input and the output of the step before, and answer with an output.
func work(input, before json.RawMessage) (json.RawMessage, error) {
	var v struct{ Text string }
	for _, raw := range []json.RawMessage{input, before} {
		if raw == nil {
			continue // the first step has nobody before it
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, fmt.Errorf("read what the step gets: %w", err)
		}
	}
	return document(outputBytes), nil
}
