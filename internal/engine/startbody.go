package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// MaxStartBytes bounds the body by which a run is started: its input and room for the rest.
const MaxStartBytes = dag.MaxInputBytes + 64<<10

// DecodeStart reads the body by which REST callers and start tasks ask for a run, a JSON object with
//
//	workflow         namespace/name or namespace/name@version, required
//	input            any JSON
//	profiles         names, applied in order
//	labels           names and values
//	start_at         RFC 3339 time
//	delay, timeout   durations as strings, for example "30s"
//	idempotency_key  a start task's; REST carries it in a header
//	correlation_id   text
//
// A null is as good as an absent field. The error lists everything that is wrong, a [dag.FieldError] each where a field is to blame, and wraps
// [dag.ErrInvalid]. What the fields mean is checked by [Engine.Start].
func DecodeStart(raw []byte) (StartRequest, error) {
	if err := dag.CheckJSON(raw, MaxStartBytes); err != nil {
		return StartRequest{}, err
	}
	if trimmed := bytes.TrimSpace(raw); trimmed[0] != '{' {
		return StartRequest{}, fmt.Errorf("%w: the body must be a JSON object with the field workflow", dag.ErrInvalid)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return StartRequest{}, fmt.Errorf("%w: body: %w", dag.ErrInvalid, err)
	}
	var (
		req  StartRequest
		errs []error
	)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if string(fields[name]) == "null" {
			delete(fields, name)
		}
		errs = append(errs, req.decodeField(name, fields[name]))
	}
	if _, given := fields["workflow"]; !given {
		errs = append(errs, &dag.FieldError{Path: "workflow", Message: "it is required: namespace/name or namespace/name@version"})
	}
	if err := errors.Join(errs...); err != nil {
		return StartRequest{}, err
	}
	return req, nil
}

// decodeField reads one field; raw is nil when it was null.
func (r *StartRequest) decodeField(name string, raw json.RawMessage) error {
	switch name {
	case "workflow":
		return readField(name, raw, "a string", &r.Workflow)
	case "input":
		r.Input = raw
		return nil
	case "profiles":
		return readField(name, raw, "a list of names", &r.Profiles)
	case "labels":
		return readField(name, raw, "an object whose values are strings", &r.Labels)
	case "start_at":
		return readParsed(name, raw, "an RFC 3339 time, for example 2026-01-02T15:04:05Z", &r.StartAt, func(s string) (time.Time, error) { return time.Parse(time.RFC3339Nano, s) })
	case "delay":
		return readParsed(name, raw, aDuration, &r.Delay, time.ParseDuration)
	case "timeout":
		return readParsed(name, raw, aDuration, &r.Timeout, time.ParseDuration)
	case "idempotency_key":
		return readField(name, raw, "a string", &r.Key)
	case "correlation_id":
		return readField(name, raw, "a string", &r.CorrelationID)
	}
	return &dag.FieldError{Path: name, Message: "there is no such field; known are " + strings.Join(startFields(), ", ")}
}

const aDuration = `a duration as a string, for example "30s" or "1h30m"`

func startFields() []string {
	return []string{"workflow", "input", "profiles", "labels", "start_at", "delay", "timeout", "idempotency_key", "correlation_id"}
}

func readField[T any](name string, raw json.RawMessage, want string, into *T) error {
	if raw == nil {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return &dag.FieldError{Path: name, Message: "it must be " + want}
	}
	return nil
}

func readParsed[T any](name string, raw json.RawMessage, want string, into *T, parse func(string) (T, error)) error {
	var text string
	if err := readField(name, raw, want, &text); err != nil || raw == nil {
		return err
	}
	v, err := parse(text)
	if err != nil {
		return &dag.FieldError{Path: name, Message: "it must be " + want}
	}
	*into = v
	return nil
}
