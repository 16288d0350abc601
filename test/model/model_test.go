//go:build verify

package model_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const modelFile = "steprun.pml"

// check is one exhaustive search.
type check struct {
	name   string
	macros string // for spin, without -D
	live   bool   // the property "ends" under weak fairness; otherwise the assertions
}

// TestHolds searches every history within the bounds of each check, and asserts that between them every event of the model was reached.
func TestHolds(t *testing.T) {
	t.Parallel()
	requireTools(t)
	var reached events
	t.Run("checks", func(t *testing.T) { // a group: it ends when all of them have
		t.Parallel()
		for _, c := range []check{
			{name: "three faults", macros: "FAULTS=3"},
			{name: "two faults and a roll-back", macros: "FAULTS=2 ROLLBACK=2"},
			{name: "errors and late calls", macros: "FAULTS=2 FAILING LATE"},
			{name: "errors, late calls and a roll-back", macros: "FAULTS=1 ROLLBACK=2 FAILING LATE"},
			{name: "many late calls", macros: "FAULTS=3 CALLS_ONLY FAILING LATE"},
			{name: "ends after two faults", macros: "FAULTS=2 LIVE", live: true},
			{name: "ends after a roll-back", macros: "FAULTS=1 ROLLBACK=1 LIVE", live: true},
			{name: "ends after errors and late calls", macros: "FAULTS=1 FAILING LATE LIVE", live: true},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				p := build(t, c, "COVER")
				p.search()
				p.exhausted()
				reached.add(p.out)
			})
		}
	})
	t.Cleanup(func() {
		if missing := reached.missing(t); len(missing) > 0 && !t.Failed() {
			t.Errorf("events of the model that no history reached:\n%s", strings.Join(missing, "\n"))
		}
	})
}

// TestMutations takes one protection out at a time: the search must find what it protects from.
func TestMutations(t *testing.T) {
	t.Parallel()
	requireTools(t)
	for _, m := range []struct {
		check

		reason string
	}{
		{check{name: "no nonce check", macros: "NO_NONCE"}, "assertion violated  !(stale_claim_committed)"},
		{check{name: "hand-over before commit", macros: "HANDOVER_FIRST"}, "assertion violated  !(child_before_parent)"},
		{check{name: "begin takes a settled nonce", macros: "FAULTS=3 CALLS_ONLY FAILING LATE LATE_BEGIN"}, "assertion violated  !(failure_counted_twice)"},
		{check{name: "reissue without compare-and-set", macros: "NO_CAS"}, "assertion violated  !(committed_twice)"},
		{check{name: "hand-over without a doubt", macros: "NO_DOUBT"}, "assertion violated  !(stranded)"},
		{check{name: "hand-over without a doubt, ends", macros: "FAULTS=1 LIVE NO_DOUBT", live: true}, "acceptance cycle"},
		{check{name: "no takeover, ends", macros: "FAULTS=1 LIVE NO_TAKEOVER", live: true}, "acceptance cycle"},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			p := build(t, m.check)
			p.search("-A")
			p.rejected(m.reason)
		})
	}
}

// TestQuotes compares what the model quotes of the scripts with the scripts. When it fails, a script has changed: see whether the model still
// says the same before changing the quote.
func TestQuotes(t *testing.T) {
	t.Parallel()
	quotes := regexp.MustCompile(`(?m)^\s*\* (\w+\.lua)> (.*)$`).FindAllStringSubmatch(readModel(t), -1)
	if len(quotes) < 20 {
		t.Fatalf("the model has %d quotes, want 20 or more", len(quotes))
	}
	for _, q := range quotes {
		if !strings.Contains(readScript(t, q[1]), q[2]) {
			t.Errorf("%s no longer contains what the model quotes:\n%s", q[1], q[2])
		}
	}
}

func readModel(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(modelFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readScript(t *testing.T, name string) string {
	t.Helper()
	scripts := filepath.Join("..", "..", "internal", "redisstore", "scripts")
	text, err := os.ReadFile(filepath.Join(scripts, name))
	if errors.Is(err, os.ErrNotExist) {
		text, err = os.ReadFile(filepath.Join(scripts, "lib", name))
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// requireTools skips where the model cannot be checked, unless that must not happen.
func requireTools(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not in PATH; install the packages spin and gcc", tool)
		}
	}
}

// events is which events of the model were reached, by any of several searches.
type events struct {
	mu   sync.Mutex
	seen []string
}

func (e *events) add(out string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range regexp.MustCompile(`(?m)^reached: (.*)$`).FindAllStringSubmatch(out, -1) {
		e.seen = append(e.seen, m[1])
	}
}

// missing lists the events that the model names and no search reached.
func (e *events) missing(t *testing.T) []string {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	named := regexp.MustCompile(`(?:EVENT|CRASH)\("([^"]+)"\)`).FindAllStringSubmatch(readModel(t), -1)
	if len(named) < 50 {
		t.Fatalf("the model names %d events, want 50 or more", len(named))
	}
	var missing []string
	for _, m := range named {
		if !slices.Contains(e.seen, m[1]) {
			missing = append(missing, m[1])
		}
	}
	return missing
}

// pan is the verifier that spin makes of the model for one check.
type pan struct {
	t    *testing.T
	dir  string
	args []string // for spin
	live bool
	out  string
}

func build(t *testing.T, c check, more ...string) *pan {
	t.Helper()
	p := &pan{t: t, dir: t.TempDir(), live: c.live}
	for _, m := range append(strings.Fields(c.macros), more...) {
		p.args = append(p.args, "-D"+m)
	}
	model := filepath.Join(p.dir, modelFile)
	if err := os.WriteFile(model, []byte(readModel(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run("spin", append(append([]string{"-a"}, p.args...), modelFile)...)
	kind := []string{"-DSAFETY"}
	if c.live {
		kind = []string{"-DNFAIR=3"}
	}
	switch {
	case slices.Contains(more, "COVER"):
		kind = append(kind, "-O2")
	case !c.live:
		kind = append(kind, "-DBFS") // the first counterexample is the shortest; it is found before optimizing would pay
	}
	p.run("gcc", append(kind, "-w", "-DMEMLIM=8000", "-o", "pan", "pan.c")...)
	return p
}

// run runs a program in the directory of the check and returns what it printed and its seconds of processor time.
func (p *pan) run(name string, args ...string) (out string, seconds float64) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), name, args...)
	cmd.Dir = p.dir
	text, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, text)
	}
	return string(text), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// search looks at every history, or stops at the first that violates something. "-A" ignores the assertions when "ends" is looked at.
func (p *pan) search(args ...string) {
	p.t.Helper()
	args = slices.DeleteFunc(args, func(a string) bool { return a == "-A" && !p.live })
	args = append(args, "-m100000", "-w23")
	if p.live {
		args = append(args, "-a", "-f")
	}
	out, seconds := p.run(filepath.Join(p.dir, "pan"), args...)
	p.out = out
	p.t.Logf("%s: %d states, depth %d, %d errors, %.1f s", strings.Join(p.args, " "),
		p.figure(`(\d+) states, stored`), p.figure(`depth reached (\d+)`), p.figure(`errors: (\d+)`), seconds)
}

// figure is a number of pan's report.
func (p *pan) figure(pattern string) int {
	p.t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(p.out)
	if m == nil {
		p.t.Fatalf("pan does not tell %q:\n%s", pattern, p.out)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// exhausted asserts that nothing was found, and that nothing was left out.
func (p *pan) exhausted() {
	p.t.Helper()
	if n := p.figure(`errors: (\d+)`); n != 0 {
		p.t.Fatalf("the model is wrong, or the design:\n%s\n%s", p.violations(), p.trail())
	}
	for _, sign := range []string{"max search depth too small", "Search not completed", "out of memory", "reached -DMEMLIM", "hash table full", "Bit statespace"} {
		if strings.Contains(p.out, sign) {
			p.t.Errorf("the search was not exhaustive: pan says %q:\n%s", sign, p.out)
		}
	}
}

// rejected asserts that the first thing found is the given one.
func (p *pan) rejected(reason string) {
	p.t.Helper()
	if got := p.violations(); !strings.Contains(got, reason) {
		p.t.Fatalf("pan reports %q, want %q:\n%s", got, reason, p.out)
	}
	p.t.Log(p.trail())
}

// violations is what pan complained of.
func (p *pan) violations() string {
	return strings.Join(regexp.MustCompile(`(?m)^pan:\d+: .*$`).FindAllString(p.out, -1), "\n")
}

// trail tells the counterexample in words: the events of the model, each on a line, indented by process.
func (p *pan) trail() string {
	p.t.Helper()
	args := slices.DeleteFunc(slices.Clone(p.args), func(a string) bool { return a == "-DCOVER" })
	out, _ := p.run("spin", append(append([]string{"-t"}, args...), modelFile)...)
	var events []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "#processes") {
			break
		}
		if strings.HasPrefix(line, "  ") {
			events = append(events, strings.TrimRight(line, " \n"))
		}
	}
	return "\n" + strings.Join(events, "\n")
}
