package redisstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// BenchmarkStep begins and completes the steps of a line of five, and counts what goes over the wire in both directions.
func BenchmarkStep(b *testing.B) {
	const length = 5
	w := &dag.Workflow{Namespace: "bench", Name: "line", Version: "1.0.0"}
	for i := range length {
		step := dag.Step{Name: fmt.Sprintf("step%d", i), Handler: "bench.step"}
		if i > 0 {
			step.DependsOn = []string{w.Steps[i-1].Name}
		}
		w.Steps = append(w.Steps, step)
	}
	graph, err := dag.Compile(w)
	if err != nil {
		b.Fatal(err)
	}
	var bytes atomic.Int64
	opts, err := redis.ParseURL(redistest.URL(b))
	if err != nil {
		b.Fatal(err)
	}
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return countedConn{conn, &bytes}, err
	}
	client := redis.NewClient(opts)
	b.Cleanup(func() { _ = client.Close() })
	store, err := redisstore.Open(b.Context(), client, redisstore.Config{Prefix: redistest.Prefix(b)})
	if err != nil {
		b.Fatal(err)
	}
	input, runs := json.RawMessage(`{"cart":[{"id":1,"quantity":2}]}`), 0
	line := func() {
		runs++
		run := dag.NewRun{ID: dag.NewRunID(runs%dag.Partitions, fmt.Sprintf("%026d", runs)), Graph: graph, Input: input, Timeout: time.Hour}
		created, err := store.CreateRun(b.Context(), run)
		if err != nil {
			b.Fatal(err)
		}
		bytes.Store(0)
		for sends := created.Sends; len(sends) > 0; {
			sends = benchStep(b, store, sends[0])
		}
	}
	var total int64
	for b.Loop() {
		line()
		total += bytes.Load()
	}
	b.ReportMetric(float64(total)/float64(runs*length), "wire-B/step")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(runs*length), "µs/step")
}

func benchStep(b *testing.B, store *redisstore.Store, send dag.Send) []dag.Send {
	b.Helper()
	begun, err := store.Begin(b.Context(), dag.BeginRequest{
		Delivery: send.Delivery, Def: send.Def, Nonce: "0123456789abcdef01234567", Worker: "host-1234-abcdef", TTL: 20 * time.Second,
	})
	if err != nil || begun.Verdict != dag.VerdictRun {
		b.Fatalf("begin: %+v, %v", begun, err)
	}
	settled, err := store.Complete(b.Context(), dag.CompleteRequest{ClaimRef: begun.Claim.ClaimRef, Output: json.RawMessage(`{"ok":true}`)})
	if err != nil || settled.Reply != dag.ReplyOK {
		b.Fatalf("complete: %+v, %v", settled, err)
	}
	return settled.Sends
}

// countedConn counts the bytes of both directions.
type countedConn struct {
	net.Conn

	bytes *atomic.Int64
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}
