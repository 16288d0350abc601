// Package redistest lends a Redis to tests: one server per test binary, or a private one for tests of faults.
//
//	func TestMain(m *testing.M) { redistest.Main(m) }
//
// The shared server is the one of STEPWELL_REDIS_URL, else a real one from PATH, else an embedded one; REQUIRE_REDIS=1 makes the
// absence of a real one a failure. Tests keep apart by Prefix and never flush. Keys stay behind in a server that is not ours.
package redistest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/stepwell/stepwell/internal/localredis"
)

const (
	startLimit = 30 * time.Second
	closeLimit = 10 * time.Second
)

// shared is written by Main before the first test runs and then only read.
var shared *localredis.Server //nolint:gochecknoglobals // TestMain can hand nothing to tests in another way

// Main starts the shared server, runs the tests, closes the server, looks for leaked goroutines (options as for goleak.Find) and exits.
func Main(m *testing.M, options ...goleak.Option) {
	ctx := context.Background() // the root: nothing is above TestMain
	starting, cancel := context.WithTimeout(ctx, startLimit)
	var err error
	shared, err = localredis.Start(starting, localredis.Options{URL: os.Getenv("STEPWELL_REDIS_URL"), RequireReal: required(), Warn: warn})
	cancel()
	if err != nil {
		warn(err.Error())
		os.Exit(1)
	}
	code := m.Run()
	closing, cancel := context.WithTimeout(ctx, closeLimit)
	err = shared.Close(closing)
	cancel()
	if err == nil && code == 0 {
		err = goleak.Find(options...)
	}
	if err != nil {
		warn(err.Error())
		code = 1
	}
	os.Exit(code)
}

func required() bool { return os.Getenv("REQUIRE_REDIS") == "1" }

func warn(text string) { fmt.Fprintln(os.Stderr, "redistest:", text) }

// Shared returns the server that Main has started. It is not to be closed or disturbed.
func Shared(tb testing.TB) *localredis.Server {
	tb.Helper()
	if shared == nil {
		tb.Fatal("redistest: no shared server: add func TestMain(m *testing.M) { redistest.Main(m) } to the package's tests")
	}
	return shared
}

// URL returns the URL of the shared server.
func URL(tb testing.TB) string {
	tb.Helper()
	return Shared(tb).URL
}

// Prefix returns a key prefix that no other test has: 12 characters [a-z0-9], a letter first.
func Prefix(tb testing.TB) string {
	tb.Helper()
	return "t" + strings.ToLower(rand.Text())[:11] // 55 bits
}

// Own starts a server that the test may kill, pause and restart; it is closed at the end of the test, its data in a directory of the
// test unless opts name one. STEPWELL_REDIS_URL does not apply. Without a real server the test is skipped, or fails with REQUIRE_REDIS=1.
func Own(tb testing.TB, opts localredis.Options) *localredis.Server {
	tb.Helper()
	opts.URL, opts.RequireReal = "", true
	if opts.Dir == "" {
		opts.Dir = tb.TempDir()
	}
	ctx, cancel := context.WithTimeout(tb.Context(), startLimit)
	defer cancel()
	s, err := localredis.Start(ctx, opts)
	if err != nil {
		if localredis.Find() == "" && !required() {
			tb.Skip("redistest: this test needs a real Redis: ", err)
		}
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), closeLimit)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Mini starts a miniredis whose keys expire by the clock (by SetTime, if the test sets one). It is closed at the end of the test.
func Mini(tb testing.TB) *miniredis.Miniredis {
	tb.Helper()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		tb.Fatal("redistest: start miniredis: ", err)
	}
	tb.Cleanup(m.Close)
	return m
}

// FreeAddr is [localredis.FreeAddr] for tests: 127.0.0.1 and a port that nobody listens on.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	addr, err := localredis.FreeAddr(tb.Context())
	if err != nil {
		tb.Fatal("redistest: ", err)
	}
	return addr
}

// FreePort is the port of a [FreeAddr].
func FreePort(tb testing.TB) string {
	tb.Helper()
	_, port, err := net.SplitHostPort(FreeAddr(tb))
	if err != nil {
		tb.Fatal("redistest: ", err)
	}
	return port
}
