package engine_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestDecodeStartReadsEveryField(t *testing.T) {
	t.Parallel()
	got, err := engine.DecodeStart([]byte(`{
		"workflow": "billing/invoice@1.0.0", "input": {"n": 1.0}, "profiles": ["express", "premium"], "labels": {"tier": "gold"},
		"start_at": "2026-01-02T15:04:05.5Z", "timeout": "1h30m", "idempotency_key": "inv-42", "correlation_id": "c-1", "delay": null
	}`))
	if err != nil {
		t.Fatal(err)
	}
	want := engine.StartRequest{
		Workflow: "billing/invoice@1.0.0", Input: json.RawMessage(`{"n": 1.0}`), Profiles: []string{"express", "premium"},
		Labels: map[string]string{"tier": "gold"}, StartAt: time.Date(2026, 1, 2, 15, 4, 5, 5e8, time.UTC), Timeout: 90 * time.Minute,
		Key: "inv-42", CorrelationID: "c-1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestDecodeStartNamesEveryProblem(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		want []string
	}{
		"empty":             {"", []string{"empty"}},
		"broken":            {`{"workflow":`, []string{"JSON"}},
		"no object":         {`["billing/invoice"]`, []string{"must be a JSON object"}},
		"null":              {`null`, []string{"must be a JSON object"}},
		"something follows": {`{"workflow":"a/b"} {}`, []string{"JSON"}},
		"no workflow":       {`{"workflow":null}`, []string{"workflow: it is required"}},
		"too deep":          {`{"workflow":"a/b","input":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, []string{"nested"}},
		"too large":         {`{"workflow":"a/b","input":"` + strings.Repeat("x", engine.MaxStartBytes) + `"}`, []string{"limit"}},
		"all at once": {
			`{"workflow":7,"inputs":{},"profiles":"express","labels":{"a":1},"start_at":"tomorrow","delay":30,"timeout":"ten","correlation_id":[],"idempotency_key":{}}`,
			[]string{
				"workflow: it must be a string", "inputs: there is no such field; known are workflow, input,", "profiles: it must be a list of names",
				"labels: it must be an object whose values are strings", "start_at: it must be an RFC 3339 time", "delay: it must be a duration as a string",
				"timeout: it must be a duration as a string", "correlation_id: it must be a string", "idempotency_key: it must be a string",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := engine.DecodeStart([]byte(test.body))
			if !errors.Is(err, dag.ErrInvalid) {
				t.Fatalf("error %v, want one that wraps dag.ErrInvalid", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func FuzzDecodeStart(f *testing.F) {
	f.Add([]byte(`{"workflow":"a/b","input":{"n":1.0},"profiles":["x"],"labels":{"k":"v"},"delay":"1s","idempotency_key":"k"}`))
	f.Add([]byte(`{"workflow":null,"start_at":"2026-01-02T15:04:05Z","timeout":"1h","correlation_id":"\u0000"}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		req, err := engine.DecodeStart(raw)
		if err != nil {
			if !errors.Is(err, dag.ErrInvalid) {
				t.Fatalf("error %v does not wrap dag.ErrInvalid", err)
			}
			return
		}
		if len(req.Input) > 0 && !json.Valid(req.Input) {
			t.Fatalf("input is not JSON: %q", req.Input)
		}
	})
}
