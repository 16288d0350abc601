package redisstore_test

import (
	"testing"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
)

// TestRandomCommands lets the specification, miniredis and a real server run the same random commands.
func TestRandomCommands(t *testing.T) {
	t.Parallel()
	subjects := map[string]enginetest.Open{"memory": enginetest.OpenMemory}
	for name, client := range servers(t) {
		subjects[name] = opener(t, client)
	}
	enginetest.RandomCommands(t, subjects, enginetest.RandomOptions{})
}
