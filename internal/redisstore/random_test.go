package redisstore_test

import (
	"testing"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
)

// TestRandomCommands lets the specification, miniredis and a real server run the same random commands: 20,000 at least, and one round of rapid,
// some 7,000, where they are slow or -short asks for it. CI runs both.
func TestRandomCommands(t *testing.T) {
	t.Parallel()
	subjects := map[string]enginetest.Open{"memory": enginetest.OpenMemory}
	for name, client := range servers(t) {
		subjects[name] = opener(t, client)
	}
	opts := enginetest.RandomOptions{}
	if testing.Short() || raceDetector {
		opts.Commands = 1 // the rest of the round comes with it
	}
	enginetest.RandomCommands(t, subjects, opts)
}
