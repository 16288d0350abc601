//go:build integration

package chaos_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/stepwell/stepwell/test/testbinary"
)

// binary is the stepwell executable under test, built by TestMain.
var binary string

func TestMain(m *testing.M) {
	if _, is := os.LookupEnv(envRole); is {
		os.Exit(playRole(os.Args[1]))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy logs each chunk that a toxic holds back
	dir, err := os.MkdirTemp("", "stepwell-chaos-bin-")
	if err != nil {
		return complain(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	// Most of the time goes by in waiting, so more stacks may run at once than there are processors.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		return complain(err)
	}
	if binary, err = testbinary.Build(context.Background(), dir); err != nil { // TestMain has no context
		return complain(err)
	}
	code := m.Run()
	if code == 0 {
		// A link of toxiproxy whose toxic has closed it waits for ever with the rest of what it has read.
		if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"), goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run")); err != nil {
			return complain(err)
		}
	}
	return code
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
