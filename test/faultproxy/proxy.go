package faultproxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"sync"
	"time"
)

// dialLimit bounds a connection to Redis; it is on the same machine.
const dialLimit = 5 * time.Second

// pipelined bounds the commands of one connection that wait for replies.
const pipelined = 10_000

// Proxy is a running proxy. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	upstream string
	path     string // of the URL: the database
	names    scriptNames
	served   sync.WaitGroup

	mu     sync.Mutex
	away   bool
	closed bool
	links  map[*link]struct{}
	rules  []*Hit
	counts map[string]int
}

// Start returns a proxy of the Redis at a redis:// URL, on a free port of the loopback interface. The caller owes a Close.
func Start(ctx context.Context, redisURL string) (*Proxy, error) {
	u, err := url.Parse(redisURL)
	if err != nil || u.Scheme != "redis" {
		return nil, fmt.Errorf("fault proxy: %q is no redis:// URL", redisURL)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fault proxy: %w", err)
	}
	p := &Proxy{
		listener: l, upstream: u.Host, path: u.Path, names: scriptNames{by: map[string]string{}},
		links: map[*link]struct{}{}, counts: map[string]int{},
	}
	p.served.Go(p.accept)
	return p, nil
}

// URL is the Redis URL of the proxy.
func (p *Proxy) URL() string { return "redis://" + p.listener.Addr().String() + p.path }

// On sets a rule. The first rule that meets a call is applied; one that is spent does nothing.
func (p *Proxy) On(r Rule) *Hit {
	h := &Hit{rule: r, done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, h)
	return h
}

// Away cuts every connection and lets none live until Back.
func (p *Proxy) Away() {
	p.mu.Lock()
	p.away = true
	p.mu.Unlock()
	p.cutAll()
}

// Back ends Away.
func (p *Proxy) Back() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
}

// Counts tells how many calls of each name Redis has answered. Scripts count under their own names.
func (p *Proxy) Counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// Close ends the proxy and all of its connections, and waits for running hooks.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.cutAll()
	p.served.Wait()
	return err
}

func (p *Proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.served.Go(func() { p.serve(c) })
	}
}

// serve joins a client's connection with one to Redis until either ends.
func (p *Proxy) serve(client net.Conn) {
	l := &link{proxy: p, client: client, waiting: make(chan *Call, pipelined)}
	defer l.cut()
	p.mu.Lock()
	away := p.away || p.closed
	p.mu.Unlock()
	if away {
		return
	}
	server, err := net.DialTimeout("tcp", p.upstream, dialLimit) //nolint:noctx // bounded, and nobody waits for it
	if err != nil {
		return
	}
	l.server = server
	if !p.enter(l) {
		return
	}
	defer p.leave(l)
	var both sync.WaitGroup
	both.Go(func() { defer l.cut(); l.requests() })
	both.Go(func() { defer l.cut(); l.replies() })
	both.Wait()
}

func (p *Proxy) enter(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away || p.closed {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) leave(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// judge finds the rule that is to be applied to a call now, before it reaches Redis or after it did; nil without one.
func (p *Proxy) judge(c *Call, before bool) *Hit {
	p.mu.Lock()
	rules := p.rules
	p.mu.Unlock()
	for _, h := range rules {
		if (h.rule.Action == CutBefore) == before && h.meets(c) {
			return h
		}
	}
	return nil
}

func (p *Proxy) count(c *Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[c.Name()]++
}

// link is a client's connection and its counterpart to Redis.
type link struct {
	proxy   *Proxy
	client  net.Conn
	server  net.Conn
	waiting chan *Call // those whose replies have yet to come; nil: from here on replies are not paired
}

// cut ends both connections at once, without the farewell that TCP has.
func (l *link) cut() {
	for _, c := range []net.Conn{l.client, l.server} {
		if t, ok := c.(*net.TCPConn); ok && t != nil {
			_ = t.SetLinger(0) // already closed, if not
			_ = t.Close()      // the same
		}
	}
}

// requests passes commands on until the connection ends.
func (l *link) requests() {
	defer close(l.waiting)
	in, out := bufio.NewReader(l.client), bufio.NewWriter(l.server)
	for {
		m, err := readMessage(in)
		if err != nil {
			return
		}
		call := parseCall(m.words, &l.proxy.names)
		if hit := l.proxy.judge(call, true); hit != nil {
			_ = out.Flush() // what came before it is not meant; the connection ends anyway
			hit.fire(call)
			return
		}
		if subscribes(call.Verb) {
			l.proxy.count(call)
			l.raw(in, out, m)
			return
		}
		l.waiting <- call
		if _, err := out.Write(m.raw.Bytes()); err != nil {
			return
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

func subscribes(verb string) bool {
	return verb == "subscribe" || verb == "psubscribe" || verb == "ssubscribe" || verb == "monitor"
}

// raw passes everything on as it is.
func (l *link) raw(in *bufio.Reader, out *bufio.Writer, first *message) {
	l.waiting <- nil
	if _, err := out.Write(first.raw.Bytes()); err != nil || out.Flush() != nil {
		return
	}
	_, _ = io.Copy(l.server, in) // ends with the connection
}

// replies passes replies back until the connection ends, and does to them what rules say.
func (l *link) replies() {
	in, out := bufio.NewReader(l.server), bufio.NewWriter(l.client)
	for {
		m, err := readMessage(in)
		if err != nil {
			return
		}
		if m.kind != '>' { // a push answers nothing
			call, open := <-l.waiting
			if !open {
				return
			}
			if call == nil {
				_, _ = l.client.Write(m.raw.Bytes()) // ends with the connection
				_, _ = io.Copy(l.client, in)         // the same
				return
			}
			if lost := l.answered(call, m, out); lost {
				return
			}
		}
		if _, err := out.Write(m.raw.Bytes()); err != nil {
			return
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

// answered applies rules to a call that Redis has answered. A script that Redis did not know was not run; its caller sends the text next.
func (l *link) answered(call *Call, m *message, out *bufio.Writer) (lost bool) {
	if bytes.HasPrefix(m.raw.Bytes(), []byte("-NOSCRIPT")) {
		return false
	}
	l.proxy.count(call)
	hit := l.proxy.judge(call, false)
	if hit == nil {
		return false
	}
	_ = out.Flush() // replies before it are not meant; if the connection has ended, the next write says so
	hit.fire(call)
	return hit.rule.Action == LoseReply
}
