package redisstore_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/redisstore"
)

// maxLines is how long a script may be without a reason in its header.
const maxLines = 40

type source struct {
	name, header, body string
}

// headerLine returns what the header says about name.
func (s source) headerLine(name string) string {
	_, rest, _ := strings.Cut(s.header, "-- "+name+":")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

func readSources(t *testing.T) []source {
	t.Helper()
	files, err := filepath.Glob("scripts/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("list scripts: %d, %v", len(files), err)
	}
	var all []source
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := source{name: strings.TrimSuffix(filepath.Base(file), ".lua")}
		for line := range strings.Lines(string(raw)) {
			if s.body == "" && strings.HasPrefix(line, "--") {
				s.header += line
			} else {
				s.body += line
			}
		}
		all = append(all, s)
	}
	return all
}

func TestHeadersSayWhatBodiesDo(t *testing.T) {
	t.Parallel()
	for _, s := range readSources(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if !strings.HasPrefix(s.header, "-- "+s.name+" ") {
				t.Errorf("header begins with %.40q, not with the script's name", s.header)
			}
			for _, line := range []string{"KEYS", "Returns", "OOM"} {
				if s.headerLine(line) == "" {
					t.Errorf("header has no %s", line)
				}
			}
			if oom := s.headerLine("OOM"); oom != "deny" && oom != "allow" {
				t.Errorf("OOM is %q", oom)
			}
			checkNames(t, s, "KEYS", regexp.MustCompile(`(\w+) = KEYS\[(\d+)\]`))
			checkNames(t, s, "ARGV", nil)
			if n := strings.Count(s.header+s.body, "\n"); n > maxLines && s.headerLine("Longer than most") == "" {
				t.Errorf("%d lines, at most %d without a reason in the header", n, maxLines)
			}
		})
	}
}

// checkNames compares the names that the header gives to KEYS or ARGV with the locals and fields that the body reads them into.
func checkNames(t *testing.T, s source, what string, form *regexp.Regexp) {
	t.Helper()
	want := strings.Fields(regexp.MustCompile(`\(.*\)`).ReplaceAllString(s.headerLine(what), ""))
	open := len(want) > 0 && strings.HasSuffix(want[len(want)-1], "...")
	if open {
		want = want[:len(want)-1]
	}
	got := make([]string, len(want))
	for name, index := range assignments(s.body, what, form) {
		if index > len(got) {
			t.Errorf("%s[%d] is read and not in the header", what, index)
			continue
		}
		got[index-1] = name
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s of header and body (-header +body):\n%s", what, diff)
	}
	if counted := strings.Contains(s.body, "#"+what) || regexp.MustCompile(what+`\[\w+`+`[^\]\d]`).MatchString(s.body); open != counted && what == "KEYS" {
		t.Errorf("%s: header says that more follow: %t, body: %t", what, open, counted)
	}
}

// assignments finds which name is given to KEYS[i] or ARGV[i] with a literal i: as field in a table, or as local.
func assignments(body, what string, form *regexp.Regexp) map[string]int {
	found := map[string]int{}
	if form != nil {
		for _, m := range form.FindAllStringSubmatch(body, -1) {
			found[m[1]], _ = strconv.Atoi(m[2])
		}
		return found
	}
	index := regexp.MustCompile(what + `\[(\d+)\]`)
	for line := range strings.Lines(body) {
		names, values, ok := strings.Cut(strings.TrimPrefix(line, "local "), " = ")
		if !ok || !strings.HasPrefix(line, "local ") {
			continue
		}
		list := strings.Split(values, ", ")
		for i, name := range strings.Split(names, ", ") {
			if i < len(list) {
				if m := index.FindStringSubmatch(list[i]); m != nil {
					found[name], _ = strconv.Atoi(m[1])
				}
			}
		}
	}
	return found
}

func TestRepliesAreThoseOfTheHeader(t *testing.T) {
	t.Parallel()
	libraries := map[string]string{}
	files, err := filepath.Glob("scripts/lib/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		libraries[strings.TrimSuffix(filepath.Base(file), ".lua")] = string(raw)
	}
	quoted, upper := regexp.MustCompile(`'([A-Z_]{2,})'`), regexp.MustCompile(`\b[A-Z_]{2,}\b`)
	noReply := []string{"HMGET", "POISON", "DEADLINE_EXCEEDED", "WITHSCORES", "LIMIT", "XX", "KEYS", "ARGV", "JSON"}
	commands := regexp.MustCompile(`redis\.call\('[A-Z]+'`)
	for _, s := range readSources(t) {
		bodies := []string{s.body}
		for _, piece := range []string{"answer", "operator", "by_hand"} { // those that reply for a verb
			if slices.Contains(strings.Fields(s.headerLine("Uses")), piece) {
				bodies = append(bodies, libraries[piece])
			}
		}
		got := map[string]bool{}
		for _, m := range quoted.FindAllStringSubmatch(commands.ReplaceAllString(strings.Join(bodies, "\n"), ""), -1) {
			if !slices.Contains(noReply, m[1]) {
				got[m[1]] = true
			}
		}
		_, returns, _ := strings.Cut(s.header, "-- Returns:")
		returns, _, _ = strings.Cut(returns, "-- OOM")
		want := map[string]bool{}
		for _, w := range upper.FindAllString(returns, -1) {
			if !slices.Contains(noReply, w) {
				want[w] = true
			}
		}
		// refused answers two words to scripts that never call it.
		if !strings.Contains(s.body, "refused(") {
			delete(got, "FENCED")
			if !want["OK_ALREADY"] {
				delete(got, "OK_ALREADY")
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: replies (-header +body):\n%s", s.name, diff)
		}
	}
}

func TestScriptsUseWhatTheyCall(t *testing.T) {
	t.Parallel()
	defined := regexp.MustCompile(`(?m)^local function (\w+)\(`)
	where := map[string]string{} // function → piece
	files, err := filepath.Glob("scripts/lib/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		piece := strings.TrimSuffix(filepath.Base(file), ".lua")
		text[piece] = string(raw)
		for _, m := range defined.FindAllStringSubmatch(text[piece], -1) {
			where[m[1]] = piece
		}
	}
	used := map[string]bool{}
	for _, s := range readSources(t) {
		known := map[string]bool{}
		for piece := range strings.FieldsSeq(s.headerLine("Uses")) {
			used[piece] = true
			known[piece] = true
			for name, from := range where {
				if !known[from] && calls(text[piece], name) {
					t.Errorf("%s: %s calls %s of %s, which does not come before it", s.name, piece, name, from)
				}
			}
		}
		for name, from := range where {
			if !known[from] && calls(s.body, name) {
				t.Errorf("%s calls %s and does not use %s", s.name, name, from)
			}
		}
	}
	for piece := range text {
		if !used[piece] {
			t.Errorf("nothing uses %s", piece)
		}
	}
}

// calls tells whether the body calls a function, comments aside.
func calls(body, name string) bool {
	for line := range strings.Lines(body) {
		code, _, _ := strings.Cut(line, "--")
		for i := strings.Index(code, name+"("); i >= 0; {
			if i == 0 || !strings.ContainsAny(code[i-1:i], "abcdefghijklmnopqrstuvwxyz_.'") {
				return true
			}
			n := strings.Index(code[i+1:], name+"(")
			if n < 0 {
				break
			}
			i += 1 + n
		}
	}
	return false
}

// TestKeysOfScriptsAreOfTheSchema pins that headers name nothing that keys.go does not know.
func TestKeysOfScriptsAreOfTheSchema(t *testing.T) {
	t.Parallel()
	var known []string
	for _, row := range redisstore.Schema() {
		known = append(known, row.Name)
		if kind := redisstore.KindOf("sw", row.Form); kind != row.Kind {
			t.Errorf("key %s is a %s in the schema and a %s for errors", row.Form, row.Kind, kind)
		}
	}
	scripts, err := redisstore.ScriptNames()
	if err != nil {
		t.Fatal(err)
	}
	for script, names := range scripts {
		for _, name := range names {
			if !slices.Contains(known, name) {
				t.Errorf("%s: key %s is not in the schema", script, name)
			}
		}
	}
}
