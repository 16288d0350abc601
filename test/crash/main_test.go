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
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/stepwell/stepwell/test/testbinary"
)

// binary is the stepwell executable under test, built by TestMain.
var binary string

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		os.Exit(playRole(role))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "stepwell-crash-")
	if err != nil {
		return complain(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	// Most of the time goes by in waiting, so more tests may run at once than there are processors.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		return complain(err)
	}
	if binary, err = testbinary.Build(context.Background(), dir); err != nil { // TestMain has no context
		return complain(err)
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			return complain(err)
		}
	}
	return code
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
