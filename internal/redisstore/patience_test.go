package redisstore_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/localredis/redistest"
)

// door passes connections on to a Redis, or ends each before its first word.
type door struct {
	addr string
	deaf atomic.Bool
}

func newDoor(t *testing.T, redisAddr string) *door {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{addr: l.Addr().String()}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { d.serve(c, redisAddr) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		open.Wait()
	})
	return d
}

func (d *door) serve(c net.Conn, redisAddr string) {
	defer func() { _ = c.Close() }()
	if d.deaf.Load() {
		return
	}
	server, err := net.Dial("tcp", redisAddr)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(c, server)
		_ = c.Close()
	})
	_, _ = io.Copy(server, c)
	_ = server.Close()
	back.Wait()
}

// TestPatientClientRecoversAtOnce has Redis behind a door that is deaf for a while: every connection ends before its greeting is over.
func TestPatientClientRecoversAtOnce(t *testing.T) {
	t.Parallel()
	o, err := redis.ParseURL(redistest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	d := newDoor(t, o.Addr)
	client := connect(t, "redis://"+d.addr)
	t.Cleanup(func() { _ = client.Close() }) // before the door
	d.deaf.Store(true)
	answered := make(chan error, 2)
	go func() { answered <- client.Ping(t.Context()).Err() }()
	go func() {
		_, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error { return p.Ping(t.Context()).Err() })
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatal("the client gave up, or got an answer through a deaf door: ", err)
	case <-time.After(time.Second):
	}
	d.deaf.Store(false)
	for range cap(answered) {
		select {
		case err := <-answered:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("no answer within 5 s of Redis being back; the longest pause is 1 s")
		}
	}
}
