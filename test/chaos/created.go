package chaos

import (
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// CreatedAt is when the ID of a run was made, by the clock of the process that made it, a moment before the run was created.
func CreatedAt(run string) (time.Time, error) {
	id, err := ulid.Parse(run[strings.LastIndexByte(run, '_')+1:])
	if err != nil {
		return time.Time{}, fmt.Errorf("ID %q of a run: %w", run, err)
	}
	return id.Timestamp(), nil
}
