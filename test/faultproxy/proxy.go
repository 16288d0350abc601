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

	"github.com/stepwell/stepwell/internal/localredis"
)

// dialLimit bounds a connection to Redis; it is on the same machine.
const dialLimit = 5 * time.Second

// pipelined bounds the commands of one connection that wait for replies.
const pipelined = 10_000

// Proxy is a running proxy. It is safe for concurrent use.
type Proxy struct {
	addr     string
	upstream string
	path     string // of the URL: the database
	names    scriptNames
	served   sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while away and after Close
	links    map[*link]struct{}
	rules    []*Hit
	counts   map[string]int
}

// Start returns a proxy of the Redis at a redis:// URL, on a free port of the loopback interface. The caller owes a Close.
func Start(ctx context.Context, redisURL string) (*Proxy, error) {
	u, err := url.Parse(redisURL)
	if err != nil || u.Scheme != "redis" {
		return nil, fmt.Errorf("fault proxy: %q is no redis:// URL", redisURL)
	}
	// While the proxy is away no other server is given its address, and no client that dials it can be given its port, be connected to itself, and keep the
	// proxy from coming back.
	l, err := localredis.Listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("fault proxy: %w", err)
	}
	p := &Proxy{
		listener: l, addr: l.Addr().String(), upstream: u.Host, path: u.Path, names: scriptNames{by: map[string]string{}},
		links: map[*link]struct{}{}, counts: map[string]int{},
	}
	p.served.Go(func() { p.accept(l) })
	return p, nil
}

// URL is the Redis URL of the proxy.
func (p *Proxy) URL() string { return "redis://" + p.addr + p.path }

// On sets a rule. The first rule that meets a call is applied; one that is spent does nothing.
func (p *Proxy) On(r Rule) *Hit {
	h := &Hit{rule: r, done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, h)
	return h
}

// Away cuts every connection and refuses new ones until Back.
func (p *Proxy) Away() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if p.listener != nil {
		err = p.listener.Close()
		p.listener = nil
	}
	for l := range p.links {
		l.cut()
	}
	return err
}

// Back ends Away, on the same port.
func (p *Proxy) Back(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", p.addr)
	if err != nil {
		return fmt.Errorf("fault proxy: %w", err)
	}
	p.listener = l
	p.served.Go(func() { p.accept(l) })
	return nil
}

// Counts tells how many calls of each name Redis has answered. Scripts count under their own names.
func (p *Proxy) Counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// Close ends the proxy and all of its connections, and waits for running hooks.
func (p *Proxy) Close() error {
	err := p.Away()
	p.served.Wait()
	return err
}

// accept serves connections until the listener is closed.
func (p *Proxy) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p.served.Go(func() { p.serve(c) })
	}
}

// serve joins a client's connection with one to Redis until either ends.
func (p *Proxy) serve(client net.Conn) {
	l := &link{proxy: p, client: client, waiting: make(chan *Call, pipelined)}
	defer l.cut()
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
	if p.listener == nil {
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
	call.Reply = m.raw.Bytes()
	l.proxy.count(call)
	hit := l.proxy.judge(call, false)
	if hit == nil {
		return false
	}
	_ = out.Flush() // replies before it are not meant; if the connection has ended, the next write says so
	hit.fire(call)
	return hit.rule.Action == LoseReply
}
