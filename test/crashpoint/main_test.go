//go:build integration

// Package crashpoint_test interrupts a run at every point at which its process talks to the outside, and looks whether it matters.
//
// # Points
//
// A point is a command that the process sends to Redis, asynq's own included, or a call that a handler makes: the shop's database, the payment
// gateway, the mail server. No list of them is kept: a run without faults is recorded from its start to its end, and what it did is the list
// (point_test.go). Two runs are recorded, the five steps of ecommerce/process_order in a row and a diamond of four of them.
//
// # Cases
//
// Each point is a case for each of three faults: the process is killed before it, is killed after it but before the answer, or loses the answer
// and lives. The process (role_test.go) is this test binary again, wired from the product's packages as an API and a worker in one; a proxy
// between it and Redis (package faultproxy) and a stage that its handlers ask (director_test.go) make the fault happen. After a kill another,
// healthy process takes over, and the start is repeated with the same key, as a client does that got no answer.
//
// # What must hold
//
// The run succeeds; there is exactly one, the one that was accepted; the state in Redis keeps every invariant of enginetest.Check; the gateway's
// ledger, the shop's database and the mail sink have each effect once (books_test.go).
//
// Controls (control_test.go) take a protection out and must fail at the points that it protects.
package crashpoint_test

import (
	"os"
	"testing"

	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/test/testbinary"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		testbinary.Play(playRole(role))
	}
	redistest.Main(m)
}
