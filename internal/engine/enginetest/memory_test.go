package enginetest_test

import (
	"testing"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
)

func TestMemoryConformance(t *testing.T) {
	t.Parallel()
	enginetest.Conformance(t, enginetest.OpenMemory)
}
