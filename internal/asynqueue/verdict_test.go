package asynqueue_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/pkg/dag"
)

// told is what asynq is told: drop, retry, later or archive.
func told(err error) string {
	if (asynqueue.OrderOf(err).Act == asynqueue.Archive) != errors.Is(err, asynq.SkipRetry) {
		return "archive, but asynq does not see it"
	}
	return map[asynqueue.Act]string{
		asynqueue.Drop: "drop", asynqueue.Retry: "retry", asynqueue.Later: "later", asynqueue.Archive: "archive",
	}[asynqueue.OrderOf(err).Act]
}

func TestVerdictTable(t *testing.T) {
	t.Parallel()
	w := newRig(t, idle(t)).Worker
	type row struct {
		call, word string
		state      dag.StepState
		wait       time.Duration // that comes with the answer
		want       string
		delay      time.Duration // before asynq's rounding is made up for
	}
	rows := []row{
		{call: "begin", word: "NORUN", want: "drop"},
		{call: "begin", word: "STALE", want: "drop"},
		{call: "begin", word: "DONE", want: "drop"},
		{call: "begin", word: "PARKED", want: "drop"},
		{call: "begin", word: "FAILED", want: "archive"},
		{call: "begin", word: "BUSY", want: "later", wait: time.Second, delay: 5 * time.Second},
		{call: "begin", word: "BUSY", want: "later", wait: 17 * time.Second, delay: 17 * time.Second},
		{call: "begin", word: "ALONE", want: "later", delay: 30 * time.Second},
		{call: "complete", word: "OK", want: "drop"},
		{call: "complete", word: "OK_ALREADY", want: "drop"},
		{call: "complete", word: "FENCED", want: "drop"},
		{call: "release", word: "OK", want: "drop"},
		{call: "release", word: "OK_ALREADY", want: "drop"},
		{call: "release", word: "FENCED", want: "drop"},
		{call: "fail", word: "OK", state: dag.StepRetrying, wait: 40 * time.Second, want: "retry", delay: 40 * time.Second},
		{call: "fail", word: "OK", state: dag.StepRetrying, want: "retry"},
		{call: "fail", word: "OK", state: dag.StepFailed, want: "archive"},
		{call: "fail", word: "OK", state: dag.StepCancelled, want: "drop"},
		{call: "fail", word: "FENCED", want: "drop"},
		{call: "", word: "NO_HANDLER", want: "later", delay: 15 * time.Second},
		{call: "", word: "NOT_SENT", want: "later", delay: 2 * time.Second},
		{call: "", word: "REFUSED", want: "later", delay: 15 * time.Second},
		{call: "", word: "LEASE_EXPIRED", want: "later", delay: 5 * time.Second},
		{call: "", word: "CROWDED", want: "later", delay: 5 * time.Second},
		{call: "", word: "SHUTDOWN", want: "later", delay: time.Second},
		{call: "", word: "BAD_PAYLOAD", want: "archive"},
		{call: "begin", word: "WHATEVER", want: "later", delay: 5 * time.Second},
	}
	for _, state := range dag.AllStepStates() {
		want := row{call: "fail", word: "OK_ALREADY", state: state, want: "drop"}
		if state == dag.StepRetrying {
			want.want, want.wait, want.delay = "retry", 3*time.Second, 3*time.Second
		}
		if state == dag.StepFailed {
			want.want = "archive"
		}
		rows = append(rows, want)
	}
	seen := map[string]bool{}
	for _, r := range rows {
		name := fmt.Sprintf("%s %s %s", r.call, r.word, r.state)
		if w.Known(r.call, r.word, r.state) {
			seen[name] = true
		}
		err := w.Tell(r.call, r.word, r.state, r.wait)
		if got := told(err); got != r.want {
			t.Errorf("%s: asynq is told to %s, want %s", name, got, r.want)
		}
		if err == nil || r.want == "archive" {
			continue
		}
		if got, want := w.RetryDelay(err), r.delay+999*time.Millisecond; got != want {
			t.Errorf("%s: delay %s, want %s", name, got, want)
		}
	}
	if len(seen) != asynqueue.Rows() {
		t.Errorf("%d rows of the table were walked, it has %d", len(seen), asynqueue.Rows())
	}
}

func TestVerdictTableAnswersWhateverTheEngineSays(t *testing.T) {
	t.Parallel()
	w := newRig(t, idle(t)).Worker
	for _, v := range []dag.Verdict{
		dag.VerdictNoRun, dag.VerdictStale, dag.VerdictDone, dag.VerdictFailed, dag.VerdictBusy, dag.VerdictParked, dag.VerdictAlone,
	} {
		if !w.Known("begin", string(v), "") {
			t.Errorf("no row for begin %s", v)
		}
	}
	for _, r := range []dag.Reply{dag.ReplyOK, dag.ReplyAlready, dag.ReplyFenced} {
		for _, c := range []string{"complete", "release"} {
			if !w.Known(c, string(r), "") {
				t.Errorf("no row for %s %s", c, r)
			}
		}
	}
	for _, s := range dag.AllStepStates() {
		if !w.Known("fail", string(dag.ReplyAlready), s) {
			t.Errorf("no row for fail OK_ALREADY %s", s)
		}
	}
}

func TestOnlyOurOwnRetryingErrorIsAFailure(t *testing.T) {
	t.Parallel()
	w := newRig(t, idle(t)).Worker
	for _, err := range []error{asynq.ErrLeaseExpired, errors.New("any"), asynq.SkipRetry, w.Tell("begin", "BUSY", "", 0)} {
		if asynqueue.OrderOf(err).Act == asynqueue.Retry {
			t.Errorf("%v counts as a failure", err)
		}
	}
	if got, want := w.RetryDelay(asynq.ErrLeaseExpired), 5*time.Second+999*time.Millisecond; got != want {
		t.Errorf("delay after a lost lease %s, want %s", got, want)
	}
}

func TestVerdictMarksWhatTheEngineArchived(t *testing.T) {
	t.Parallel()
	w := newRig(t, idle(t)).Worker
	const mark = "stepwell: step failed"
	if err := w.Tell("fail", "OK", dag.StepFailed, 0); !strings.HasPrefix(err.Error(), mark) {
		t.Errorf("a failed step's task says %q, want it to begin with %q", err, mark)
	}
	if err := w.TellWhy("fail", "OK", dag.StepRetrying, "step failed"); strings.HasPrefix(err.Error(), mark) {
		t.Errorf("a step that is tried again says %q, as if it had failed, when its handler uses our words", err)
	}
	if err := w.Tell("", "BAD_PAYLOAD", "", 0); strings.HasPrefix(err.Error(), mark) {
		t.Errorf("a broken task says %q as if the engine had failed its step", err)
	}
}
