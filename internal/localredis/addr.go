package localredis

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
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

// What one caller was given no other caller may be: of this process, by the counter; of another one, because the UDP port of the same number is held until
// the process ends. So a server that is away for a while, as in tests, finds its port free when it comes back.
//
//nolint:gochecknoglobals // they say what this process has given away
var (
	lastPort atomic.Uint64
	heldMu   sync.Mutex
	held     []net.PacketConn
)

// FreeAddr returns an address of 127.0.0.1 that nobody listens on at the moment, as host:port. It never returns the same one again, nor one that was given
// in another process that still runs, so that callers do not get in each other's way.
func FreeAddr(ctx context.Context) (string, error) {
	l, err := Listen(ctx)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Listen is FreeAddr for who listens there at once.
func Listen(ctx context.Context) (net.Listener, error) {
	for range ports {
		port := firstPort + (uint64(os.Getpid())*stride+lastPort.Add(1))%ports //nolint:gosec // a process ID is positive
		l, err := hold(ctx, net.JoinHostPort(loopback, strconv.FormatUint(port, 10)))
		if !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
	}
	return nil, errors.New("local redis: no free port on " + loopback)
}

// hold listens on an address, and makes it this process's own.
func hold(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	mark, err := lc.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, err
	}
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, errors.Join(err, mark.Close())
	}
	heldMu.Lock()
	defer heldMu.Unlock()
	held = append(held, mark)
	return l, nil
}

const loopback = "127.0.0.1"
