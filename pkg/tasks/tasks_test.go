package tasks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

var errBoom = errors.New("boom")

func TestClassify(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err   error
		want  dag.StepError
		after time.Duration
	}{
		"any error":            {errBoom, dag.StepError{Code: "ERROR", Message: "boom", Retryable: true}, 0},
		"permanent":            {tasks.Permanent("BAD", errBoom), dag.StepError{Code: "BAD", Message: "boom"}, 0},
		"permanent by code":    {tasks.Permanent("BAD", nil), dag.StepError{Code: "BAD", Message: "BAD"}, 0},
		"permanent of nothing": {tasks.Permanent("", nil), dag.StepError{Code: "ERROR", Message: "ERROR"}, 0},
		"refused":              {tasks.Refused("NO", errBoom), dag.StepError{Code: "NO", Message: "boom", Refused: true}, 0},
		"retryable":            {tasks.Retryable("BUSY", errBoom), dag.StepError{Code: "BUSY", Message: "boom", Retryable: true}, 0},
		"retry after":          {tasks.RetryAfter(errBoom, time.Minute), dag.StepError{Code: "ERROR", Message: "boom", Retryable: true}, time.Minute},
		"retry at once":        {tasks.RetryAfter(errBoom, 0), dag.StepError{Code: "ERROR", Message: "boom", Retryable: true}, 1},
		"retry after of one with a code": {
			tasks.RetryAfter(tasks.Retryable("BUSY", errBoom), time.Minute), dag.StepError{Code: "BUSY", Message: "boom", Retryable: true}, time.Minute,
		},
		"retry after of a refusal stays one": {tasks.RetryAfter(tasks.Refused("NO", errBoom), time.Minute), dag.StepError{Code: "NO", Message: "boom", Refused: true}, time.Minute},
		"wrapped":                            {fmt.Errorf("charge: %w", tasks.Permanent("BAD", errBoom)), dag.StepError{Code: "BAD", Message: "charge: boom"}, 0},
		"joined":                             {errors.Join(tasks.Permanent("BAD", errBoom), errors.New("more")), dag.StepError{Code: "BAD", Message: "boom\nmore"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, after, ok := tasks.Classify(c.err)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if after != c.after || ok != (c.after > 0) {
				t.Errorf("asks for %s, %t; want %s", after, ok, c.after)
			}
		})
	}
}

func TestErrorsKeepTheirCause(t *testing.T) {
	t.Parallel()
	for _, err := range []error{tasks.Permanent("A", errBoom), tasks.Refused("A", errBoom), tasks.Retryable("A", errBoom), tasks.RetryAfter(errBoom, 1)} {
		if !errors.Is(err, errBoom) {
			t.Errorf("%#v hides its cause", err)
		}
	}
	known, ok := errors.AsType[*tasks.Error](tasks.Permanent("BAD", errBoom))
	if !ok || known.Code() != "BAD" {
		t.Errorf("code %q", known.Code())
	}
}

func TestClassifyClips(t *testing.T) {
	t.Parallel()
	got, _, _ := tasks.Classify(tasks.Permanent(strings.Repeat("C", 1000), errors.New(strings.Repeat("ü", dag.MaxErrorBytes))))
	if len(got.Message) > dag.MaxErrorBytes || len(got.Code) > dag.MaxLabelNameBytes || !utf8.ValidString(got.Message) {
		t.Errorf("message of %d bytes, code of %d, valid %t", len(got.Message), len(got.Code), utf8.ValidString(got.Message))
	}
}

type cart struct {
	Total json.Number `json:"total"`
}

func newStep(fetch func(context.Context, string) (json.RawMessage, error), log *slog.Logger) *tasks.Step {
	return tasks.NewStep(dag.Claim{
		ClaimRef: dag.ClaimRef{Run: "run_00_X", Step: "pay"}, Workflow: "shop/order", Attempts: 2, KeyGeneration: 1,
		Config: json.RawMessage(`{"total":1}`), Input: json.RawMessage(`{"total":1.10}`), Outputs: map[string]json.RawMessage{"cart": json.RawMessage(`{"total":2.0}`)},
		Labels: map[string]string{"tier": "gold"}, CorrelationID: "c-1",
	}, fetch, log)
}

func TestStepTellsItsAttempt(t *testing.T) {
	t.Parallel()
	s := newStep(nil, nil)
	got := []any{s.Run(), s.Name(), s.Workflow(), s.Attempt(), s.EffectKey(), s.Labels()["tier"], s.CorrelationID()}
	if diff := cmp.Diff([]any{"run_00_X", "pay", "shop/order", 2, "run_00_X:pay:r1", "gold", "c-1"}, got); diff != "" {
		t.Errorf("step (-want +got):\n%s", diff)
	}
	s.Log().Info("dropped") // a nil logger discards
	var buf bytes.Buffer
	newStep(nil, slog.New(slog.NewTextHandler(&buf, nil))).Log().Info("kept")
	if !strings.Contains(buf.String(), "kept") {
		t.Errorf("log %q", buf.String())
	}
}

func TestInputOutputAndConfig(t *testing.T) {
	t.Parallel()
	asked := ""
	s := newStep(func(_ context.Context, step string) (json.RawMessage, error) {
		if asked = step; step != "far" {
			return nil, tasks.ErrNoOutput
		}
		return json.RawMessage(`{"total":3}`), nil
	}, nil)
	in, err := tasks.Input[cart](s)
	if err != nil || in.Total != "1.10" {
		t.Errorf("input %v, %v; want the number's text kept", in, err)
	}
	parent, err := tasks.Output[cart](t.Context(), s, "cart")
	if err != nil || parent.Total != "2.0" || asked != "" {
		t.Errorf("parent's output %v, %v, fetched %q; want it without a fetch", parent, err, asked)
	}
	far, err := tasks.Output[cart](t.Context(), s, "far")
	if err != nil || far.Total != "3" {
		t.Errorf("ancestor's output %v, %v", far, err)
	}
	if _, err := tasks.Output[cart](t.Context(), s, "nobody"); !errors.Is(err, tasks.ErrNoOutput) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("output of no ancestor: %v", err)
	}
	if _, err := tasks.Output[cart](t.Context(), newStep(nil, nil), "nobody"); !errors.Is(err, tasks.ErrNoOutput) {
		t.Errorf("output without a fetch: %v", err)
	}
	var config cart
	if err := s.Config(&config); err != nil || config.Total != "1" {
		t.Errorf("config %v, %v", config, err)
	}
	config.Total = "default"
	if err := tasks.NewStep(dag.Claim{}, nil, nil).Config(&config); err != nil || config.Total != "default" {
		t.Errorf("no config changes %v, %v", config, err)
	}
}

func TestWrongFormIsPermanent(t *testing.T) {
	t.Parallel()
	s := newStep(nil, nil)
	_, input := tasks.Input[[]int](s)
	_, output := tasks.Output[int](t.Context(), s, "cart")
	for what, err := range map[string]error{"input of the run": input, "output of step cart": output, "config of step pay": s.Config(new(string))} {
		got, _, _ := tasks.Classify(err)
		if got.Retryable || got.Code != tasks.CodeInvalidInput || !strings.Contains(got.Message, what) {
			t.Errorf("%s: %+v, want a permanent %s that names it", what, got, tasks.CodeInvalidInput)
		}
	}
}

func TestHandleWritesTheResult(t *testing.T) {
	t.Parallel()
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "a.ok", func(context.Context, *tasks.Step) (cart, error) { return cart{Total: "1.0"}, nil })
	tasks.Handle(reg, "a.fails", func(context.Context, *tasks.Step) (cart, error) { return cart{}, errBoom })
	tasks.Handle(reg, "a.chan", func(context.Context, *tasks.Step) (any, error) { return make(chan int), nil })
	run := func(name string) (string, error) {
		h, ok := reg.Handler(name)
		if !ok {
			t.Fatalf("no handler %s", name)
		}
		raw, err := h(t.Context(), newStep(nil, nil))
		return string(raw), err
	}
	if out, err := run("a.ok"); err != nil || out != `{"total":1.0}` {
		t.Errorf("output %s, %v", out, err)
	}
	if _, err := run("a.fails"); !errors.Is(err, errBoom) {
		t.Errorf("error %v", err)
	}
	_, err := run("a.chan")
	if got, _, _ := tasks.Classify(err); got.Code != dag.CodeInvalidOutput || got.Retryable {
		t.Errorf("a result that is no JSON: %+v", got)
	}
	if diff := cmp.Diff([]string{"a.chan", "a.fails", "a.ok"}, reg.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestRegistryIsExactAndPanicsOnMistakes(t *testing.T) {
	t.Parallel()
	reg := tasks.NewRegistry()
	nothing := func(context.Context, *tasks.Step) (json.RawMessage, error) { return nil, nil }
	reg.Add("pay", nothing)
	for _, name := range []string{"pay_refund", "pa", "Pay", ""} {
		if _, ok := reg.Handler(name); ok {
			t.Errorf("%q finds a handler", name)
		}
	}
	for _, name := range []string{"pay", "", "Pay", "pay refund", strings.Repeat("p", dag.MaxHandlerBytes+1)} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "register handler") {
					t.Errorf("registering %q: panic %v, want one that says what went wrong", name, v)
				}
			}()
			reg.Add(name, nothing)
		}()
	}
}
