//go:build integration

// Package crash_test breaks real processes at chosen moments and looks at what the outside world got: the payment gateway's own ledger, the shop's
// database, the mail sink. Redis is real, each process has a proxy of its own to it (package faultproxy), and faults happen at exact points of
// the protocol, not by chance.
//
// Every fault has a negative control (control_test.go): the same fault with the protection against it taken out, which must end badly. A
// protection cannot be switched off in the product, so controls run this test binary again as worker or starter (role_test.go), wired from
// the same packages with one thing broken.
package crash_test

import (
	"os"
	"testing"

	"github.com/stepwell/stepwell/test/testbinary"
)

// binary is the stepwell executable under test, built by TestMain.
var binary string

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		testbinary.Play(playRole(role))
	}
	testbinary.Main(m, testbinary.Plan{Parallel: 8, Binary: &binary})
}
