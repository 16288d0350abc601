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
	opts := enginetest.RandomOptions{}
	if testing.Short() {
		opts.Commands = 1 // one round of rapid, some 7,000
	}
	enginetest.RandomCommands(t, subjects, opts)
}
