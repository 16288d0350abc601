package localredis

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

// Ports are given from below the range that Linux (32768) and others (49152) give to outgoing connections. A port from that range can be taken, between
// the moment it was found and the moment somebody listens on it, by any process that connects to anything.
const (
	firstPort = 10_000
	ports     = 22_000
	stride    = 199 // apart are processes started one after the other; prime, and no divisor of ports
)

var lastPort atomic.Uint64 //nolint:gochecknoglobals // what one caller was given, no other caller in this process may be

// FreeAddr returns an address of 127.0.0.1 that nobody listens on at the moment, as host:port. It never returns the same one again before it has returned
// all others, so that the callers of one process do not get in each other's way.
func FreeAddr(ctx context.Context) (string, error) {
	for range ports {
		port := firstPort + (uint64(os.Getpid())*stride+lastPort.Add(1))%ports //nolint:gosec // a process ID is positive
		addr := net.JoinHostPort(loopback, strconv.FormatUint(port, 10))
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return "", err
		}
		return addr, l.Close()
	}
	return "", errors.New("local redis: no free port on " + loopback)
}

const loopback = "127.0.0.1"
