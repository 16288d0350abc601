//go:build integration

// Package badinput_test makes the mistakes that people make, at real processes: in the command line, the environment, the configuration file, the
// workflow files, and in what they send to the API. Each has to end with a text that names what is wrong, where, and the mend, and never with a
// stack trace.
package badinput_test

import (
	"testing"

	"github.com/stepwell/stepwell/test/testbinary"
)

// binary is the stepwell executable under test, built by TestMain.
var binary string

func TestMain(m *testing.M) {
	testbinary.Main(m, testbinary.Plan{Binary: &binary})
}
