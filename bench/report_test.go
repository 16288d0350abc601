package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sample is a report with round numbers.
func sample(t *testing.T, ours float64) *report {
	t.Helper()
	r := newReport(t.Context(), shortProfile())
	b := &bench{options: shortProfile(), server: &server{}, result: map[string]*figures{nameOurs: {}, nameHand: {}}}
	for name, seconds := range map[string]float64{nameOurs: ours, nameHand: 1} {
		f := b.result[name]
		for range 2 {
			f.add(roundResult{Runs: 200, Seconds: seconds, idle: []latency{{handler: 40 * time.Millisecond, committed: 50 * time.Millisecond}}})
		}
		f.Wire = wireResult{Runs: 40, Seconds: 1, ScriptCalls: 5.2, Bytes: 1000}
		f.Memory = memoryResult{OpenBytes: 100, FinishedBytes: 200, PayloadBytes: 110}
	}
	r.fill(b)
	return r
}

func TestReport(t *testing.T) {
	t.Parallel()
	r := sample(t, 2)
	if got := r.Key.LinearQueueRatio; got != (spread{0.5, 0.5, 0.5}) {
		t.Errorf("ratio %+v", got)
	}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"100 (100–100)", "200 (200–200)", "0.50 (0.50–0.50)", "5.20", "50.0"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}

func TestReportBounds(t *testing.T) {
	t.Parallel()
	r := sample(t, 2)
	if err := r.check(); err != nil {
		t.Errorf("at the bounds: %v", err)
	}
	r.Key.ScriptCallsPerStep = 5.21
	if err := r.check(); err == nil {
		t.Error("5.21 script calls a step are accepted")
	}
	r = sample(t, 2)
	r.Key.PayloadBytes = 301
	if err := r.check(); err == nil {
		t.Error("a payload of 301 bytes is accepted")
	}
}

func TestCompareFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before, after := filepath.Join(dir, "old.json"), filepath.Join(dir, "new.json")
	for file, seconds := range map[string]float64{before: 2, after: 1} {
		if err := sample(t, seconds).save(file); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := program(t.Context(), []string{"-compare", before, after}, &out, &out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(out.String(), "\n") {
		if fields := strings.Fields(line); len(fields) == 4 && fields[0] == "linear_queue_ratio" {
			if fields[3] != "2.000" {
				t.Errorf("ratio of ratios: %v", fields)
			}
			return
		}
	}
	t.Errorf("no linear_queue_ratio in:\n%s", out.String())
}

func TestBenchfmt(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bench.txt")
	if err := sample(t, 2).saveLines(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"pkg: github.com/stepwell/stepwell/bench\n",
		"BenchmarkLinear/system=stepwell\t200\t10000000 ns/op\t100.0 runs/s\t",
		"BenchmarkIdle/system=hand-chained\t1\t50000000 ns/op\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"-runs 0, must be from 1":            {"-runs", "0"},
		`-fsync "never", must be`:            {"-fsync", "never"},
		"needs two reports":                  {"-compare", "one.json"},
		`unexpected argument "extra"`:        {"extra"},
		"flag provided but not defined: -on": {"-on"},
	} {
		var out bytes.Buffer
		if err := program(t.Context(), args, &out, &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
