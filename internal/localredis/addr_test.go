package localredis_test

import (
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/stepwell/stepwell/internal/localredis"
)

// TestFreeAddr: whoever is given an address can listen on it, and nobody else of this process is given the same, listening or not.
//
//nolint:paralleltest // a process that another test starts holds, until it is executed, what this one has just closed
func TestFreeAddr(t *testing.T) {
	const callers, each = 8, 25
	var mu sync.Mutex
	given := map[string]bool{}
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				addr, err := localredis.FreeAddr(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
				if err != nil {
					t.Errorf("nobody can listen on %s: %v", addr, err)
				} else if err := l.Close(); err != nil {
					t.Error(err)
				}
				mu.Lock()
				if given[addr] {
					t.Errorf("%s was given twice", addr)
				}
				given[addr] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// TestFreeAddrIsOfNoOtherProcess: an address that was given in another process, which holds the UDP port for that, is not given again, although nobody listens.
//
//nolint:paralleltest // as above
func TestFreeAddrIsOfNoOtherProcess(t *testing.T) {
	addr, err := localredis.FreeAddr(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	last, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	theirs := map[string]bool{}
	for i := range 20 {
		next := net.JoinHostPort(host, strconv.Itoa(last+1+i))
		if mark, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", next); err == nil {
			theirs[next] = true
			t.Cleanup(func() { _ = mark.Close() })
		}
	}
	if len(theirs) == 0 {
		t.Fatal("none of the next ports is free")
	}
	for range 10 {
		if addr, err = localredis.FreeAddr(t.Context()); err != nil || theirs[addr] {
			t.Errorf("%s was given, which is another one's, %v", addr, err)
		}
	}
}
