//go:build integration

// Package bars_test holds the product to the figures that the documentation promises: how long a take-over takes, how a queue that was wiped fills
// again, what an absence of Redis, a poisonous step, a hundred thousand waiting runs, a person at the queue's dashboard and a clock that jumps may and may
// not do. Processes and Redis are real; workers are this test binary again, built of the public API (role_test.go). Each test logs what it measured.
package bars_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		if err := playRole(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Most of the time goes by in waiting.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
