//go:build integration

// Package failover_test runs Stepwell on Redis as shops run it, a master with replicas under Sentinels and a cluster, and takes masters away: by
// SIGKILL, by an operator's failover, by moving slots. Starts go on all the while, each repeated with its key until it is answered.
//
// Asserted: every start that was answered under strict durability is there afterwards and ends well, with each effect under one key, and starts are
// answered again soon. The negative control is the same fault under relaxed durability, which loses answered starts.
//
// Connections as shops need them (TLS with client certificates, a user with just the commands that are needed, servers that hide their configuration, a
// clock that is off, a full Redis) are tried here too, with API and worker together, because asynq shares the connections.
package failover_test

import (
	"testing"
	"time"

	"github.com/stepwell/stepwell/test/testbinary"
)

func TestMain(m *testing.M) {
	testbinary.Main(m, testbinary.Plan{Parallel: 5})
}

const (
	promised     = 15 * time.Second // from a fault to the next answered start
	limitService = 30 * time.Second // the same on a machine that is busy with other tests
	// limitEnd is for all runs to end after the last fault. Most take a minute, until a look for lost tasks finds them; a task that the old master gave
	// to a worker, and the new one believes to be at work, waits for asynq to give it up.
	limitEnd = 200 * time.Second
)
