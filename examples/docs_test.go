// Package examples_test holds the pages of docs/ against the code that they are about.
package examples_test

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/stepwell/stepwell/internal/config"
	"github.com/stepwell/stepwell/internal/telemetry"
)

var rewrite = flag.Bool("rewrite", false, "write what the pages take from the code anew")

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The tables of settings and metrics are made from the code.
func TestOperations(t *testing.T) { //nolint:paralleltest // it may write the page
	page := read(t, "docs/operations.md")
	want := withTable(t, page, "metrics", metricsTable(t))
	want = withTable(t, want, "settings", settingsTable(t))
	if *rewrite {
		if err := os.WriteFile("../docs/operations.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("docs/operations.md is behind the code (go test ./examples -run TestOperations -rewrite mends it); -want +got:\n%s", diff)
	}
}

// withTable puts the table between its marks.
func withTable(t *testing.T, page, name, table string) string {
	t.Helper()
	const end = "<!-- end of table -->"
	head, rest, found := strings.Cut(page, "<!-- table of "+name+":")
	mark, rest, closed := strings.Cut(rest, "-->\n")
	_, tail, ended := strings.Cut(rest, end)
	if !found || !closed || !ended {
		t.Fatalf("docs/operations.md has no place for the table of %s", name)
	}
	return head + "<!-- table of " + name + ":" + mark + "-->\n" + table + end + tail
}

func settingsTable(t *testing.T) string {
	t.Helper()
	api, worker := pflag.NewFlagSet("api", pflag.ContinueOnError), pflag.NewFlagSet("worker", pflag.ContinueOnError)
	config.APIFlags(api)
	config.WorkerFlags(worker)
	flags := map[string]*pflag.Flag{}
	var names []string
	for _, set := range []*pflag.FlagSet{api, worker} {
		set.VisitAll(func(f *pflag.Flag) {
			if flags[f.Name] == nil && f.Name != "config" {
				names = append(names, f.Name)
			}
			flags[f.Name] = f
		})
	}
	slices.SortStableFunc(names, func(a, b string) int { return section(a) - section(b) })
	var b strings.Builder
	b.WriteString("| setting | variable | default | read by | meaning |\n|---|---|---|---|---|\n")
	for _, name := range names {
		f := flags[name]
		_, usage := pflag.UnquoteUsage(f)
		meaning, variable, found := strings.Cut(usage, " [")
		if !found {
			t.Fatalf("flag --%s does not name its variable: %q", name, usage)
		}
		readers := "both"
		switch {
		case worker.Lookup(name) == nil:
			readers = "API"
		case api.Lookup(name) == nil:
			readers = "worker"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", keyOf(name), strings.TrimSuffix(variable, "]"), defaultOf(f), readers, strings.ReplaceAll(meaning, "|", `\|`))
	}
	return b.String()
}

// keyOf is the name of the setting behind a flag: redis-tls-ca is redis.tls_ca.
func keyOf(flag string) string {
	return strings.ReplaceAll(strings.Replace(flag, "-", ".", 1), "-", "_")
}

// section orders settings as --help would if one process had them all.
func section(flag string) int {
	name, _, _ := strings.Cut(flag, "-")
	return slices.Index([]string{"redis", "api", "worker", "workflows", "shop", "log", "dev"}, name)
}

func defaultOf(f *pflag.Flag) string {
	switch {
	case f.Name == "worker-concurrency":
		return "10 × CPU" // of the machine that runs it
	case f.DefValue == "":
		return "–"
	}
	return "`" + f.DefValue + "`"
}

func metricsTable(t *testing.T) string {
	t.Helper()
	var own described
	if _, err := telemetry.NewMetrics(&own); err != nil {
		t.Fatal(err)
	}
	var shared described
	if err := shared.Register(telemetry.NewQueueCollector(nil, slog.New(slog.DiscardHandler), time.Now)); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| metric | labels | of | meaning |\n|---|---|---|---|\n")
	for _, group := range []struct {
		of    string
		descs []*prometheus.Desc
	}{{"the installation", shared.descs}, {"the process", own.descs}} {
		for _, d := range group.descs {
			m := description.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("cannot read %s", d)
			}
			labels := strings.ReplaceAll(m[3], ",", ", ")
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m[1], labels, group.of, m[2])
		}
	}
	return b.String()
}

var description = regexp.MustCompile(`fqName: "(\w+)", help: "([^"]*)", .*variableLabels: \{([^}]*)\}`)

// described is a registry that only asks collectors what they collect.
type described struct{ descs []*prometheus.Desc }

func (d *described) Register(c prometheus.Collector) error {
	all := make(chan *prometheus.Desc)
	go func() {
		c.Describe(all)
		close(all)
	}()
	for desc := range all {
		d.descs = append(d.descs, desc)
	}
	return nil
}

func (d *described) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = d.Register(c)
	}
}

func (*described) Unregister(prometheus.Collector) bool { return false }

// The snippets of docs/enqueue.md are parts of the programs under examples/.
func TestEnqueue(t *testing.T) { //nolint:paralleltest // it may write the page
	page := read(t, "docs/enqueue.md")
	blocks := 0
	want := snippet.ReplaceAllStringFunc(page, func(found string) string {
		blocks++
		m := snippet.FindStringSubmatch(found)
		return "<!-- " + m[1] + "#" + m[2] + " -->\n```" + m[3] + "\n" + region(t, m[1], m[2]) + "```\n"
	})
	if fences := strings.Count(page, "\n```"); fences != 2*blocks {
		t.Errorf("docs/enqueue.md has %d marks of code blocks, and %d blocks that name where they come from", fences, blocks)
	}
	if *rewrite {
		if err := os.WriteFile("../docs/enqueue.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("docs/enqueue.md is behind the examples (go test ./examples -run TestEnqueue -rewrite mends it); -want +got:\n%s", diff)
	}
}

var snippet = regexp.MustCompile("<!-- (\\S+)#(\\S+) -->\n```(\\w+)\n(?s:.*?)```\n")

// region is the part of a file between the comments "region: name" and "endregion".
func region(t *testing.T, path, name string) string {
	t.Helper()
	text := read(t, path)
	for _, comment := range []string{"# ", "// "} {
		_, rest, found := strings.Cut(text, comment+"region: "+name+"\n")
		part, _, ended := strings.Cut(rest, comment+"endregion\n")
		if found && ended {
			return strings.TrimSpace(part) + "\n"
		}
	}
	t.Fatalf("%s has no region %s", path, name)
	return ""
}
