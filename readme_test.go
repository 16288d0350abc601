package stepwell_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The example of the README is the one that is compiled and run here.
func TestREADMEShowsTheExample(t *testing.T) {
	t.Parallel()
	example := between(t, "example_test.go", "// README:begin\n\n", "\n// README:end")
	shown := between(t, "README.md", "```go\n", "```\n")
	if diff := cmp.Diff(example, shown); diff != "" {
		t.Errorf("README.md and example_test.go differ (-example +README):\n%s", diff)
	}
}

func between(t *testing.T, file, from, to string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(raw), from)
	text, _, ends := strings.Cut(rest, to)
	if !found || !ends {
		t.Fatalf("%s has no text between %q and %q", file, from, to)
	}
	return text
}
