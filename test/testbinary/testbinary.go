// Package testbinary builds the program under test for tests that run it as real processes.
package testbinary

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build compiles cmd/stepwell, without the race detector, into a directory and returns the path of the executable. Its subcommands api and
// worker are what cmd/api and cmd/worker are.
func Build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "stepwell")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/stepwell/stepwell/cmd/stepwell") //nolint:gosec // the arguments are ours
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary under test: %w\n%s", err, out)
	}
	return path, nil
}
