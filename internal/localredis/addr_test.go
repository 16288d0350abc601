package localredis_test

import (
	"net"
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
