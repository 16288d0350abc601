package enginetest

import (
	"context"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
)

// Subject is a store under test.
type Subject interface {
	engine.Store
	// Dump returns all that the store holds of runs. It need not be normalized.
	Dump(ctx context.Context) (State, error)
	// SetTime sets the store's clock, which stands still in between. It may go back.
	SetTime(ctx context.Context, now time.Time) error
}

// Open returns an empty [Subject] whose clock stands at [Epoch]. What must be closed is given to t.Cleanup.
type Open func(t TB) Subject

// Epoch returns the time at which the clock of a new [Subject] stands.
func Epoch() time.Time { return time.Date(2030, time.January, 2, 3, 4, 5, 0, time.UTC) }

// TB is what [Open] may use of a test: the common part of *testing.T and *rapid.T.
type TB interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(f func())
	Context() context.Context
}
