//go:build integration

package chaos_test

import (
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
		testbinary.Play(playRole(os.Args[1]))
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy logs each chunk that a toxic holds back
	testbinary.Main(m, testbinary.Plan{Parallel: 8, Binary: &binary, Leaks: []goleak.Option{
		// A link of toxiproxy whose toxic has closed it waits for ever with the rest of what it has read.
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
	}})
}
