package redisstore_test

import (
	"testing"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, client := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			enginetest.Conformance(t, opener(t, client))
		})
	}
}
