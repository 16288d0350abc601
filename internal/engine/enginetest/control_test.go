package enginetest_test

import (
	"strings"
	"testing"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
)

// TestConformanceCatches is the negative control of the scenarios: each known fault must be found.
func TestConformanceCatches(t *testing.T) {
	t.Parallel()
	for _, fault := range enginetest.Faults() {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			failed := enginetest.FailingScenarios(t, enginetest.Break(fault))
			if len(failed) == 0 {
				t.Fatal("no scenario fails")
			}
			t.Logf("%d scenarios fail: %s", len(failed), strings.Join(failed, "; "))
		})
	}
	if failed := enginetest.FailingScenarios(t, enginetest.OpenMemory); len(failed) > 0 {
		t.Fatalf("without a fault: %v", failed)
	}
}

// TestRandomCommandsCatch is the negative control of the random commands, beside a store that is right.
func TestRandomCommandsCatch(t *testing.T) {
	t.Parallel()
	for _, fault := range enginetest.Faults() {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			pair := map[string]enginetest.Open{"broken": enginetest.Break(fault), "memory": enginetest.OpenMemory}
			tried, text := enginetest.FirstFailure(t, pair, 200)
			if text == "" {
				t.Fatalf("%d sequences found nothing", tried)
			}
			t.Logf("after %d sequences: %s", tried, text)
		})
	}
	pair := map[string]enginetest.Open{"one": enginetest.OpenMemory, "two": enginetest.OpenMemory}
	if _, text := enginetest.FirstFailure(t, pair, 20); text != "" {
		t.Fatalf("without a fault: %s", text)
	}
}

// TestInvariantsCatch is the negative control of the invariants: a store alone, with nothing to compare it with.
func TestInvariantsCatch(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{
		"settle counts twice", "release forgets the send", "expire leaves the claim", "the end test is missed in a paused run",
		"pause leaves the send", "skip settles twice", "resolve loses the output", "purge leaves the dead letter",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			tried, text := enginetest.FirstFailure(t, map[string]enginetest.Open{"broken": enginetest.Break(fault)}, 200)
			if text == "" {
				t.Fatalf("%d sequences found nothing", tried)
			}
			t.Logf("after %d sequences: %s", tried, text)
		})
	}
}
