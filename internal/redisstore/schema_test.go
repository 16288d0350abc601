package redisstore_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/test/redisdump"
)

var update = flag.Bool("update", false, "rewrite the blocks of docs/redis-schema.md")

const schemaDoc = "../../docs/redis-schema.md"

// TestSchemaIsDocumented compares two blocks of docs/redis-schema.md with what is: the table of all keys, and a dump of every key of
// partition 3f and of the installation after the story.
func TestSchemaIsDocumented(t *testing.T) {
	t.Parallel()
	table := schemaTable()
	for name, client := range servers(t) {
		s := newSubject(t, client, redistest.Prefix(t))
		tell(t, s)
		dump := dumpKeys(t, s)
		if *update && name == "real" {
			updateDoc(t, map[string]string{"keys": table, "example": dump})
		}
		for block, want := range map[string]string{"keys": table, "example": dump} {
			if diff := cmp.Diff(strings.Split(readBlock(t, block), "\n"), strings.Split(want, "\n")); diff != "" {
				t.Errorf("%s: block %s of %s is out of date; go test ./internal/redisstore -run TestSchemaIsDocumented -update\n(-page +%s):\n%s",
					name, block, schemaDoc, name, diff)
			}
		}
	}
}

func schemaTable() string {
	var b strings.Builder
	for _, row := range redisstore.Schema() {
		fmt.Fprintf(&b, "%-32s %-7s %s\n", row.Form, row.Kind, row.Holds)
	}
	return b.String()
}

// dumpKeys prints every key of partition 3f and of the installation.
func dumpKeys(t *testing.T, s *subject) string {
	t.Helper()
	keys, err := redisdump.Keys(t.Context(), s.client, s.prefix)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	var b strings.Builder
	for _, key := range keys {
		if strings.HasPrefix(key, "{"+s.prefix+":") && !strings.HasPrefix(key, "{"+s.prefix+":3f}") {
			continue
		}
		kind, err := s.client.Type(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if want := redisstore.KindOf(s.prefix, key); kind != want {
			t.Errorf("key %s is a %s, the schema says %s", key, kind, want)
		}
		fmt.Fprintf(&b, "%s (%s)\n", strings.Replace(key, "{"+s.prefix, "{"+redisstore.DefaultPrefix, 1), kind)
		for _, line := range content(t.Context(), t, s.client, key, kind) {
			b.WriteString("  " + line + "\n")
		}
	}
	return b.String()
}

func content(ctx context.Context, t *testing.T, client redis.UniversalClient, key, kind string) []string {
	t.Helper()
	var lines []string
	var err error
	switch kind {
	case "string":
		var text string
		text, err = client.Get(ctx, key).Result()
		lines = []string{text}
	case "list":
		lines, err = client.LRange(ctx, key, 0, -1).Result()
	case "set":
		lines, err = client.SMembers(ctx, key).Result()
	case "hash":
		var all map[string]string
		all, err = client.HGetAll(ctx, key).Result()
		for _, field := range slices.Sorted(maps.Keys(all)) {
			lines = append(lines, field+" = "+all[field])
		}
	case "zset":
		var all []redis.Z
		all, err = client.ZRangeWithScores(ctx, key, 0, -1).Result()
		for _, z := range all {
			lines = append(lines, strconv.FormatInt(int64(z.Score), 10)+"  "+z.Member.(string))
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return lines
}

// block finds the fenced block that follows the marker.
func block(page, name string) (start, end int, ok bool) {
	marker := "<!-- " + name + ": written by go test -update -->\n```text\n"
	start = strings.Index(page, marker)
	if start < 0 {
		return 0, 0, false
	}
	start += len(marker)
	n := strings.Index(page[start:], "```")
	return start, start + n, n >= 0
}

func readBlock(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile(schemaDoc)
	if err != nil {
		t.Fatal(err)
	}
	start, end, ok := block(string(page), name)
	if !ok {
		t.Fatalf("%s has no block %s", schemaDoc, name)
	}
	return string(page)[start:end]
}

func updateDoc(t *testing.T, blocks map[string]string) {
	t.Helper()
	raw, err := os.ReadFile(schemaDoc)
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for name, text := range blocks {
		start, end, ok := block(page, name)
		if !ok {
			t.Fatalf("%s has no block %s", schemaDoc, name)
		}
		page = page[:start] + text + page[end:]
	}
	if err := os.WriteFile(schemaDoc, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
}
