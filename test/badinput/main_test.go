//go:build integration

// Package badinput_test makes the mistakes that people make, at real processes: in the command line, the environment, the configuration file, the
// workflow files, and in what they send to the API. Each has to end with a text that names what is wrong, where, and the mend, and never with a
// stack trace.
package badinput_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/stepwell/stepwell/test/testbinary"
)

// binary is the stepwell executable under test, built by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "stepwell-badinput-")
	if err != nil {
		return complain(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()                                   // a temporary directory
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
