package enginetest_test

import (
	"testing"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
)

func TestMemoryConformance(t *testing.T) {
	t.Parallel()
	enginetest.Conformance(t, enginetest.OpenMemory)
}

func TestMemoryRandomCommands(t *testing.T) {
	t.Parallel()
	enginetest.RandomCommands(t, map[string]enginetest.Open{"memory": enginetest.OpenMemory}, enginetest.RandomOptions{})
}
