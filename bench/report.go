package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// maxScriptCalls is what a step may cost: create_run once in five steps, begin, complete, and asynq's enqueue, dequeue and done.
const maxScriptCalls = 5.2

// maxPayload is the bound of a task's payload in bytes.
const maxPayload = 300

// report is the content of latest.json.
type report struct {
	Date    string              `json:"date"`
	Commit  string              `json:"commit"` // with + when files differ from it; empty outside of a checkout
	Go      string              `json:"go"`
	Machine machine             `json:"machine"`
	Redis   redisInfo           `json:"redis"`
	Setup   setup               `json:"setup"`
	Key     keyFigures          `json:"figures"`
	Systems map[string]*figures `json:"systems"`
}

type machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPU  string `json:"cpu"`
	CPUs int    `json:"cpus"`
	Load string `json:"load_average,omitempty"` // before the bench
}

type setup struct {
	options
	Steps       int     `json:"steps"`
	PollMS      float64 `json:"poll_ms"`
	InputBytes  int     `json:"input_bytes"`
	OutputBytes int     `json:"output_bytes"`
}

// keyFigures are the few that are watched over time.
type keyFigures struct {
	LinearQueueRatio   spread  `json:"linear_queue_ratio"` // Stepwell's runs/s by those of hand-chained asynq, round by round
	IdleP50MS          float64 `json:"idle_p50_ms"`
	IdleP99MS          float64 `json:"idle_p99_ms"`
	ScriptCallsPerStep float64 `json:"script_calls_per_step"`
	WireBytesPerStep   float64 `json:"wire_bytes_per_step"`
	OpenRunBytes       float64 `json:"open_run_bytes"`
	FinishedRunBytes   float64 `json:"finished_run_bytes"`
	PayloadBytes       int     `json:"payload_bytes"`
}

func newReport(ctx context.Context, opts options) *report {
	return &report{
		Date: time.Now().UTC().Format(time.RFC3339), Commit: commit(ctx), Go: runtime.Version(),
		Machine: machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuModel(), CPUs: runtime.NumCPU(), Load: loadAverage()},
		Setup:   setup{options: opts, Steps: steps, PollMS: ms(pollEvery), InputBytes: inputBytes, OutputBytes: outputBytes},
	}
}

func (r *report) fill(b *bench) {
	r.Redis, r.Systems = b.server.Info, b.result
	ours, hand := b.result[nameOurs], b.result[nameHand]
	ratios := make([]float64, len(ours.Rounds))
	for i := range ratios {
		ratios[i] = round3(ours.Rounds[i].rate() / hand.Rounds[i].rate())
	}
	r.Key = keyFigures{
		LinearQueueRatio: spreadOf(ratios), IdleP50MS: ours.Idle.P50, IdleP99MS: ours.Idle.P99,
		ScriptCallsPerStep: ours.Wire.ScriptCalls, WireBytesPerStep: ours.Wire.Bytes,
		OpenRunBytes: ours.Memory.OpenBytes, FinishedRunBytes: ours.Memory.FinishedBytes, PayloadBytes: ours.Memory.PayloadBytes,
	}
}

// check compares what does not depend on the machine with its bounds.
func (r *report) check() error {
	if got := r.Key.ScriptCallsPerStep; got > maxScriptCalls {
		return fmt.Errorf("%.3f script calls a step, at most %.1f are allowed", got, maxScriptCalls)
	}
	if got := r.Key.PayloadBytes; got > maxPayload {
		return fmt.Errorf("a task's payload of %d bytes, at most %d are allowed", got, maxPayload)
	}
	return nil
}

func (r *report) save(file string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.WriteFile(file, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func loadReport(file string) (*report, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read a report: %w", err)
	}
	var r report
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("read a report: %s: %w", file, err)
	}
	return &r, nil
}

// print writes the report for people.
func (r *report) print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	p := func(format string, args ...any) { fmt.Fprintf(t, format+"\t\n", args...) }
	p("\n%s · commit %s · %s · %s, %d CPUs, load %s", r.Date, cmp.Or(r.Commit, "unknown"), r.Go, r.Machine.CPU, r.Machine.CPUs, cmp.Or(r.Machine.Load, "unknown"))
	p("Redis %s, appendonly %s, appendfsync %s · %d runs of %d steps, %d rounds, concurrency %d, hand-chained poll %g ms",
		r.Redis.Version, r.Redis.AppendOnly, r.Redis.AppendFsync, r.Setup.Runs, r.Setup.Steps, r.Setup.Rounds, r.Setup.Concurrency, r.Setup.PollMS)
	p("")
	ours, hand := r.Systems[nameOurs], r.Systems[nameHand]
	p("median (min–max)\t%s\t%s\tratio", nameOurs, nameHand)
	p("runs/s\t%s\t%s\t%s", ours.Rate.text(0), hand.Rate.text(0), r.Key.LinearQueueRatio.text(2))
	both := func(name, format string, of func(f *figures) float64) {
		a, b := of(ours), of(hand)
		ratio := ""
		if b != 0 {
			ratio = fmt.Sprintf("%.2f", a/b)
		}
		p("%s\t"+format+"\t"+format+"\t%s", name, a, b, ratio)
	}
	both("process CPU, µs/step", "%.0f", func(f *figures) float64 { return f.perStep(func(r *roundResult) float64 { return 1e6 * r.ProcessCPU }) })
	both("Redis CPU, µs/step", "%.0f", func(f *figures) float64 { return f.perStep(func(r *roundResult) float64 { return 1e6 * r.RedisCPU }) })
	both("all script calls/step in a burst", "%.2f", func(f *figures) float64 { return f.perStep(func(r *roundResult) float64 { return float64(r.Scripts) }) })
	both("idle p50, ms", "%.1f", func(f *figures) float64 { return f.Idle.P50 })
	both("idle p99, ms", "%.1f", func(f *figures) float64 { return f.Idle.P99 })
	both("script calls/step", "%.2f", func(f *figures) float64 { return f.Wire.ScriptCalls })
	both("wire bytes/step, both ways", "%.0f", func(f *figures) float64 { return f.Wire.Bytes })
	both("payload bytes", "%.0f", func(f *figures) float64 { return float64(f.Memory.PayloadBytes) })
	both("Redis bytes/open run", "%.0f", func(f *figures) float64 { return f.Memory.OpenBytes })
	both("Redis bytes/finished run", "%.0f", func(f *figures) float64 { return f.Memory.FinishedBytes })
	for _, sys := range systems() {
		p("\n%s, a step on the wire\tcalls\tsent\tgot", sys.name)
		w := r.Systems[sys.name].Wire
		n := float64(w.Runs * steps)
		for _, verb := range byCalls(w.Verbs) {
			v := w.Verbs[verb]
			p("%s\t%.2f\t%.0f\t%.0f", verb, float64(v.Calls)/n, float64(v.Sent)/n, float64(v.Got)/n)
		}
		p("goes on without runs\tcalls/s\tsent/s\tgot/s")
		for _, verb := range byCalls(w.Background) {
			v := w.Background[verb]
			p("%s\t%.1f\t%.0f\t%.0f", verb, float64(v.Calls)/w.Seconds, float64(v.Sent)/w.Seconds, float64(v.Got)/w.Seconds)
		}
	}
	return t.Flush()
}

// byCalls lists scripts first, then by number of calls.
func byCalls(verbs map[string]traffic) []string {
	return slices.SortedFunc(maps.Keys(verbs), func(a, b string) int {
		if va, vb := verbs[a], verbs[b]; va.Script != vb.Script {
			if va.Script {
				return -1
			}
			return 1
		}
		return cmp.Or(verbs[b].Calls-verbs[a].Calls, cmp.Compare(a, b))
	})
}

// perStep is the median over the rounds.
func (f *figures) perStep(of func(r *roundResult) float64) float64 {
	values := make([]float64, len(f.Rounds))
	for i := range f.Rounds {
		values[i] = of(&f.Rounds[i]) / float64(f.Rounds[i].Runs*steps)
	}
	return quantile(values, 0.5)
}

func (s spread) text(digits int) string {
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}

// compare prints what became of each figure.
func compare(out io.Writer, before, after *report) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "figure\t%s\t%s\tnew/old\t\n", cmp.Or(before.Commit, "old"), cmp.Or(after.Commit, "new"))
	row := func(name string, a, b float64) {
		ratio := "–"
		if a != 0 {
			ratio = fmt.Sprintf("%.3f", b/a)
		}
		fmt.Fprintf(t, "%s\t%g\t%g\t%s\t\n", name, a, b, ratio)
	}
	a, b := before.Key, after.Key
	row("linear_queue_ratio", a.LinearQueueRatio.Median, b.LinearQueueRatio.Median)
	for _, sys := range systems() {
		old, now := before.Systems[sys.name], after.Systems[sys.name]
		if old == nil || now == nil {
			return fmt.Errorf("compare: a report lacks %s", sys.name)
		}
		row(sys.name+" runs_per_second", old.Rate.Median, now.Rate.Median)
		row(sys.name+" idle_p50_ms", old.Idle.P50, now.Idle.P50)
	}
	row("idle_p50_ms", a.IdleP50MS, b.IdleP50MS)
	row("idle_p99_ms", a.IdleP99MS, b.IdleP99MS)
	row("script_calls_per_step", a.ScriptCallsPerStep, b.ScriptCallsPerStep)
	row("wire_bytes_per_step", a.WireBytesPerStep, b.WireBytesPerStep)
	row("payload_bytes", float64(a.PayloadBytes), float64(b.PayloadBytes))
	row("open_run_bytes", a.OpenRunBytes, b.OpenRunBytes)
	row("finished_run_bytes", a.FinishedRunBytes, b.FinishedRunBytes)
	return t.Flush()
}

// saveLines writes one line a round in the format of Go benchmarks, which benchstat compares.
func (r *report) saveLines(file string) error {
	if file == "" {
		return nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "goos: %s\ngoarch: %s\npkg: github.com/stepwell/stepwell/bench\ncpu: %s\nappendfsync: %s\n",
		r.Machine.OS, r.Machine.Arch, r.Machine.CPU, r.Redis.AppendFsync)
	for _, sys := range systems() {
		f := r.Systems[sys.name]
		for i := range f.Rounds {
			round := &f.Rounds[i]
			n := float64(round.Runs * steps)
			fmt.Fprintf(&text, "BenchmarkLinear/system=%s\t%d\t%.0f ns/op\t%.1f runs/s\t%.3f process-cpu-µs/step\t%.3f redis-cpu-µs/step\n",
				sys.name, round.Runs, 1e9*round.Seconds/float64(round.Runs), round.rate(), 1e6*round.ProcessCPU/n, 1e6*round.RedisCPU/n)
			if all := round.latencies(); len(all) > 0 {
				fmt.Fprintf(&text, "BenchmarkIdle/system=%s\t%d\t%.0f ns/op\n", sys.name, len(all), 1e9*quantile(all, 0.5))
			}
		}
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("write benchmark lines: %w", err)
	}
	return nil
}

// commit names the checkout in the working directory.
func commit(ctx context.Context) string {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return ""
	}
	name := strings.TrimSpace(string(head))
	if changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(changes) > 0 {
		name += "+"
	}
	return name
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH // another system than Linux
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// loadAverage of the last minute, where the system tells.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
