package main

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by it
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
)

// traffic is what went over the wire for one verb.
type traffic struct {
	Calls  int   `json:"calls"`
	Empty  int   `json:"empty,omitempty"`  // answered with null
	Errors int   `json:"errors,omitempty"` // answered with an error
	Sent   int64 `json:"sent_bytes"`       // by clients
	Got    int64 `json:"got_bytes"`        // by clients
	Script bool  `json:"script,omitempty"`
}

func (t traffic) minus(o traffic) traffic {
	t.Calls, t.Empty, t.Errors, t.Sent, t.Got = t.Calls-o.Calls, t.Empty-o.Empty, t.Errors-o.Errors, t.Sent-o.Sent, t.Got-o.Got
	return t
}

// reading is what a tap has seen up to a moment.
type reading struct {
	Connections int
	Verbs       map[string]traffic
}

// since returns what was added after an earlier reading.
func (r reading) since(before reading) reading {
	out := reading{Connections: r.Connections - before.Connections, Verbs: map[string]traffic{}}
	for verb, t := range r.Verbs {
		if d := t.minus(before.Verbs[verb]); d.Calls > 0 {
			out.Verbs[verb] = d
		}
	}
	return out
}

// tap relays connections to a Redis and counts commands, by verb for scripts, and their bytes.
type tap struct {
	listener net.Listener
	target   string
	conns    sync.WaitGroup

	mu      sync.Mutex
	seen    reading
	scripts map[string]string // digest to verb
	open    map[net.Conn]struct{}
	closed  bool
}

func newTap(ctx context.Context, target string) (*tap, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	t := &tap{listener: listener, target: target, seen: reading{Verbs: map[string]traffic{}}, scripts: map[string]string{}, open: map[net.Conn]struct{}{}}
	t.conns.Go(func() { t.accept(ctx) })
	return t, nil
}

func (t *tap) addr() string { return t.listener.Addr().String() }

// read returns what has been seen so far.
func (t *tap) read() reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	return reading{Connections: t.seen.Connections, Verbs: maps.Clone(t.seen.Verbs)}
}

// Close ends every connection and returns when nothing runs any more.
func (t *tap) Close() error {
	t.mu.Lock()
	t.closed = true
	for c := range t.open {
		_ = c.Close() // it is being cut on purpose
	}
	t.mu.Unlock()
	err := t.listener.Close()
	t.conns.Wait()
	return err
}

func (t *tap) accept(ctx context.Context) {
	for {
		client, err := t.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.target)
		if err != nil || !t.keep(client, server) {
			_ = client.Close() // the client sees a Redis that is away
			continue
		}
		t.conns.Go(func() { t.relay(client, server) })
	}
}

// keep remembers a pair for Close; false when that has been called.
func (t *tap) keep(pair ...net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen.Connections++
	for _, c := range pair {
		if t.closed {
			_ = c.Close() // as Close would have done
			continue
		}
		t.open[c] = struct{}{}
	}
	return !t.closed
}

// asked is a command whose answer is still to come.
type asked struct {
	verb  string
	bytes int64
	is    bool // a script
}

// relay copies both ways until either end is closed.
func (t *tap) relay(client, server net.Conn) {
	pending := make(chan asked, 1<<16) // commands in flight, far above what a client pipelines
	var subscribed atomic.Bool
	var both sync.WaitGroup
	both.Go(func() {
		defer close(pending)
		defer func() { _ = server.Close() }() // tells the server, and the other direction
		err := t.requests(bufio.NewReaderSize(io.TeeReader(client, server), 64<<10), pending, &subscribed)
		if errors.Is(err, errProtocol) {
			t.count(asked{verb: "?"}, reply{failed: true})
		}
	})
	both.Go(func() {
		defer func() { _ = client.Close() }() // tells the client, and the other direction
		t.replies(bufio.NewReaderSize(io.TeeReader(server, client), 64<<10), pending, &subscribed)
	})
	both.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, client)
	delete(t.open, server)
}

func (t *tap) requests(r *bufio.Reader, pending chan<- asked, subscribed *atomic.Bool) error {
	for {
		c, err := readCommand(r)
		if err != nil {
			return err
		}
		a := t.name(c)
		if strings.HasSuffix(a.verb, "subscribe") {
			subscribed.Store(true) // from here on answers and messages cannot be told apart
		}
		if subscribed.Load() {
			t.count(a, reply{})
			continue
		}
		pending <- a
	}
}

func (t *tap) replies(r *bufio.Reader, pending <-chan asked, subscribed *atomic.Bool) {
	for {
		answer, err := readReply(r)
		if err != nil {
			return
		}
		if answer.pushed || subscribed.Load() {
			continue
		}
		a, more := <-pending
		if !more {
			return
		}
		t.count(a, answer)
	}
}

func (t *tap) count(a asked, answer reply) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.seen.Verbs[a.verb]
	v.Calls++
	v.Sent += a.bytes
	v.Got += answer.bytes
	v.Script = a.is
	if answer.null {
		v.Empty++
	}
	if answer.failed {
		v.Errors++
	}
	t.seen.Verbs[a.verb] = v
}

// name tells the verb of a command: that of the script for a call of one, else the command's own, in lower case.
func (t *tap) name(c command) asked {
	if len(c.args) < 2 {
		return asked{verb: strings.ToLower(strings.Join(c.args, " ")), bytes: c.bytes}
	}
	switch verb := strings.ToLower(c.args[0]); verb {
	case "script":
		if strings.EqualFold(c.args[1], "load") && len(c.args) == 3 {
			t.learn(c.args[2])
		}
		return asked{verb: verb, bytes: c.bytes}
	case "eval":
		return asked{verb: t.script(digestOf(c.args[1]), c.args[2:]), bytes: c.bytes, is: true}
	case "evalsha":
		return asked{verb: t.script(c.args[1], c.args[2:]), bytes: c.bytes, is: true}
	default:
		return asked{verb: verb, bytes: c.bytes}
	}
}

func digestOf(script string) string {
	sum := sha1.Sum([]byte(script)) //nolint:gosec // Redis names scripts by it
	return hex.EncodeToString(sum[:])
}

// header is how every script of ours begins: what it does, then its keys.
var header = regexp.MustCompile(`(?m)^-- ([a-z_]+) .*\n-- KEYS:`)

// learn remembers a script by the verb in its header. asynq's have none.
func (t *tap) learn(text string) {
	found := header.FindStringSubmatch(text)
	if found == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scripts[digestOf(text)] = found[1]
}

// script names a script: ours by what was learnt, asynq's by its keys, because the server may know those from before. args are those of
// EVALSHA from the number of keys on.
func (t *tap) script(digest string, args []string) string {
	t.mu.Lock()
	verb, ours := t.scripts[digest]
	t.mu.Unlock()
	if ours {
		return verb
	}
	if len(args) < 2 || !strings.HasPrefix(args[1], "asynq:") {
		return "script " + digest
	}
	if strings.HasPrefix(args[1], "asynq:servers:") {
		return verbServer
	}
	_, key, _ := strings.Cut(args[1], "}:")
	kind, _, _ := strings.Cut(key, ":")
	switch keys := args[0]; {
	case kind == "pending":
		return verbDequeue
	case kind == "t" && keys == "2":
		return verbEnqueue
	case kind == "active" && keys == "5":
		return verbDone
	case kind == "scheduled" || kind == "retry":
		return verbForward
	default:
		return "asynq " + kind + " " + keys
	}
}

// asynq's scripts that every task needs, the one that it calls each second for each queue, and the heartbeat of its server.
const (
	verbEnqueue = "asynq enqueue"
	verbDequeue = "asynq dequeue"
	verbDone    = "asynq done"
	verbForward = "asynq forward"
	verbServer  = "asynq server state"
)
