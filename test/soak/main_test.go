//go:build integration

package soak_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stepwell/stepwell/internal/app"
	"github.com/stepwell/stepwell/test/testbinary"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(app.Execute(roles(), os.Stderr))
	}
	testbinary.Main(m, testbinary.Plan{Parallel: 4})
}
