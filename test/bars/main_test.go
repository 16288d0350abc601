//go:build integration

// Package bars_test holds the product to the figures that the documentation promises: how long a take-over takes, how a queue that was wiped fills
// again, what an absence of Redis, a poisonous step, a hundred thousand waiting runs, a person at the queue's dashboard and a clock that jumps may and may
// not do. Processes and Redis are real; workers are this test binary again, built of the public API (role_test.go). Each test logs what it measured.
package bars_test

import (
	"os"
	"testing"

	"github.com/stepwell/stepwell/test/testbinary"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		testbinary.Play(playRole(role))
	}
	testbinary.Main(m, testbinary.Plan{Parallel: 8})
}
