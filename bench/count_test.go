package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadCommand(t *testing.T) {
	t.Parallel()
	wire := "*6\r\n$7\r\nEVALSHA\r\n$2\r\nab\r\n$1\r\n1\r\n$3\r\nkey\r\n$4\r\na\r\nb\r\n$0\r\n\r\n"
	r := bufio.NewReader(strings.NewReader(wire + "*1\r\n$4\r\nPING\r\n"))
	got, err := readCommand(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"EVALSHA", "ab", "1", "key"}, got.args); diff != "" || got.bytes != int64(len(wire)) {
		t.Errorf("bytes %d, want %d; arguments (-want +got):\n%s", got.bytes, len(wire), diff)
	}
	if got, err = readCommand(r); err != nil || got.args[0] != "PING" {
		t.Errorf("next command %v, %v", got, err)
	}
	if _, err = readCommand(r); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	if _, err = readCommand(bufio.NewReader(strings.NewReader("PING\r\n"))); !errors.Is(err, errProtocol) {
		t.Errorf("inline command: %v", err)
	}
}

func TestReadReply(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]reply{
		"+OK\r\n":                                {},
		":12\r\n":                                {},
		"_\r\n":                                  {null: true},
		"$-1\r\n":                                {null: true},
		"*-1\r\n":                                {null: true},
		"-NOSCRIPT none\r\n":                     {failed: true},
		"$2\r\n\r\n\r\n":                         {},
		"*2\r\n$1\r\na\r\n*1\r\n_\r\n":           {},
		"%1\r\n+key\r\n:1\r\n":                   {},
		">2\r\n+message\r\n+x\r\n":               {pushed: true},
		"|1\r\n+ttl\r\n:1\r\n$3\r\nabc\r\n":      {},
		"*3\r\n#t\r\n,1.5\r\n(123456789012\r\n":  {},
		"=7\r\ntxt:abc\r\n":                      {},
		"~1\r\n$1\r\nx\r\n":                      {},
		"!9\r\nERR wrong\r\n":                    {failed: true},
		"*1\r\n-ERR inside an array is data\r\n": {},
	} {
		want.bytes = int64(len(wire))
		got, err := readReply(bufio.NewReader(strings.NewReader(wire)))
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", wire, got, err, want)
		}
	}
}

func TestScriptNames(t *testing.T) {
	t.Parallel()
	text := "#!lua\n-- now is the time.\nlocal x\n-- begin claims a step.\n-- KEYS: run steps\n-- ARGV: id\nreturn 1"
	relay := &tap{seen: reading{Verbs: map[string]traffic{}}, scripts: map[string]string{}}
	relay.name(command{args: []string{"SCRIPT", "LOAD", text}})
	for want, args := range map[string][]string{
		"begin":     {"EVALSHA", digestOf(text), "2", "{x:00}:run:1"},
		verbEnqueue: {"evalsha", "a", "2", "asynq:{x-bench}:t:17"},
		verbDequeue: {"evalsha", "b", "4", "asynq:{x-bench}:pending"},
		verbDone:    {"eval", "return 2", "5", "asynq:{x-bench}:active"},
		verbForward: {"evalsha", "d", "2", "asynq:{x-bench}:retry"},
		verbServer:  {"evalsha", "e", "2", "asynq:servers:{host:1:uuid}"},
		"script c":  {"evalsha", "c", "1", "other"},
		"hgetall":   {"HGETALL", "key"},
		"ping":      {"PING"},
	} {
		if got := relay.name(command{args: args}); got.verb != want {
			t.Errorf("%v: %q, want %q", args, got.verb, want)
		}
	}
}

// A reply is counted for the command that it answers, in the order of a connection.
func TestRepliesMeetTheirCommands(t *testing.T) {
	t.Parallel()
	relay := &tap{seen: reading{Verbs: map[string]traffic{}}, scripts: map[string]string{}}
	var subscribed atomic.Bool
	pending := make(chan asked, 8)
	asks := "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"
	if err := relay.requests(bufio.NewReader(strings.NewReader(asks)), pending, &subscribed); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	close(pending)
	relay.replies(bufio.NewReader(strings.NewReader("_\r\n>1\r\n+pushed\r\n+PONG\r\n$3\r\nabc\r\n")), pending, &subscribed)
	want := map[string]traffic{"get": {Calls: 2, Empty: 1, Sent: 40, Got: 12}, "ping": {Calls: 1, Sent: 14, Got: 7}}
	if diff := cmp.Diff(want, relay.read().Verbs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWireOf(t *testing.T) {
	t.Parallel()
	got := wireOf(reading{Connections: 1, Verbs: map[string]traffic{
		"begin":     {Calls: 10, Sent: 1000, Got: 500, Script: true},
		verbDequeue: {Calls: 40, Empty: 30, Sent: 400, Got: 190, Script: true},
		"due":       {Calls: 64, Sent: 640, Got: 64, Script: true},
		"hgetall":   {Calls: 2, Sent: 20, Got: 20},
	}}, 2, time.Second)
	want := wireResult{
		Runs: 2, Seconds: 1, NewConnections: 1, ScriptCalls: 2, Bytes: 174,
		Verbs: map[string]traffic{
			"begin":     {Calls: 10, Sent: 1000, Got: 500, Script: true},
			verbDequeue: {Calls: 10, Sent: 100, Got: 100, Script: true},
			"hgetall":   {Calls: 2, Sent: 20, Got: 20},
		},
		Background: map[string]traffic{
			"due":                           {Calls: 64, Sent: 640, Got: 64, Script: true},
			verbDequeue + ", nothing there": {Calls: 30, Empty: 30, Sent: 300, Got: 90, Script: true},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The bench must notice what it is there to notice: a run that does not end, and a handler that runs twice.
func TestCollect(t *testing.T) {
	t.Parallel()
	open := func(runs ...string) *session {
		s := &session{ends: make(chan end, len(runs)), seen: map[string]bool{}, stall: 50 * time.Millisecond}
		for _, run := range runs {
			s.ends <- end{run: run}
		}
		return s
	}
	nothing := func() {}
	s := open("a", "b")
	if err := s.collect(t.Context(), &batch{}, 2, nothing); err != nil {
		t.Errorf("both ended: %v", err)
	}
	s = open("a")
	if err := s.collect(t.Context(), &batch{}, 2, nothing); err == nil || !strings.Contains(err.Error(), "1 of 2 runs did not end") {
		t.Errorf("one lost: %v", err)
	}
	s = open("a", "a", "b")
	if err := s.collect(t.Context(), &batch{}, 2, nothing); err != nil || s.repeated != 1 {
		t.Errorf("one twice: %v, %d repeated", err, s.repeated)
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	if got, want := spreadOf([]float64{3, 1, 2, 10}), (spread{Median: 2.5, Min: 1, Max: 10}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	values := make([]float64, 101)
	for i := range values {
		values[i] = float64(100 - i)
	}
	if got := quantile(values, 0.99); got != 99 {
		t.Errorf("p99 %g, want 99", got)
	}
}
