package dag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// The JSON of workflows and graphs. Fields stand in the order of their names, so that what is written is canonical as long as the
// values inside are. Readers are strict: a field from a newer release is an error, never silently without effect.
type (
	wireWorkflow struct {
		Defaults    wireDefaults           `json:"defaults,omitzero"`
		Description string                 `json:"description,omitempty"`
		InputSchema json.RawMessage        `json:"input_schema,omitempty"`
		Name        string                 `json:"name"`
		Namespace   string                 `json:"namespace"`
		Profiles    map[string]wireProfile `json:"profiles,omitempty"`
		Keep        retention              `json:"retention,omitzero"`
		KeepFailed  retention              `json:"retention_failed,omitzero"`
		Steps       []wireStep             `json:"steps"`
		Timeout     duration               `json:"timeout,omitzero"`
		Version     string                 `json:"version"`
	}
	wireStep struct {
		Config      json.RawMessage `json:"config,omitempty"`
		DependsOn   []string        `json:"depends_on,omitempty"`
		Description string          `json:"description,omitempty"`
		Handler     string          `json:"handler"`
		Name        string          `json:"name"`
		Queue       string          `json:"queue,omitempty"`
		Retry       wireRetry       `json:"retry,omitzero"`
		Timeout     duration        `json:"timeout,omitzero"`
	}
	wireDefaults struct {
		Queue   string    `json:"queue,omitempty"`
		Retry   wireRetry `json:"retry,omitzero"`
		Timeout duration  `json:"timeout,omitzero"`
	}
	wireRetry struct {
		Backoff     Backoff  `json:"backoff,omitempty"`
		BaseDelay   duration `json:"base_delay,omitzero"`
		Jitter      *float64 `json:"jitter,omitempty"`
		MaxAttempts int      `json:"max_attempts,omitempty"`
		MaxDelay    duration `json:"max_delay,omitzero"`
	}
	wireProfile struct {
		Defaults wireDefaults            `json:"defaults,omitzero"`
		Steps    map[string]wireOverride `json:"steps,omitempty"`
	}
	wireOverride struct {
		Config  json.RawMessage `json:"config,omitempty"`
		Queue   string          `json:"queue,omitempty"`
		Retry   wireRetry       `json:"retry,omitzero"`
		Timeout duration        `json:"timeout,omitzero"`
	}
	wireGraph struct {
		Digest    string     `json:"digest,omitempty"`
		Name      string     `json:"name"`
		Namespace string     `json:"namespace"`
		Nodes     []wireNode `json:"nodes"`
		Profiles  []string   `json:"profiles,omitempty"`
		Timeout   duration   `json:"timeout"`
		Version   string     `json:"version"`
	}
	wireNode struct {
		Children []string        `json:"children,omitempty"`
		Config   json.RawMessage `json:"config,omitempty"`
		Handler  string          `json:"handler"`
		Join     Join            `json:"join"`
		Name     string          `json:"name"`
		Parents  []string        `json:"parents,omitempty"`
		Queue    string          `json:"queue"`
		Retry    wirePolicy      `json:"retry"`
		Timeout  duration        `json:"timeout"`
	}
	wirePolicy struct {
		Backoff     Backoff  `json:"backoff"`
		BaseDelay   duration `json:"base_delay"`
		Jitter      float64  `json:"jitter"`
		MaxAttempts int      `json:"max_attempts"`
		MaxDelay    duration `json:"max_delay"`
	}
)

// duration is written as Go writes it, for example 1m30s.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%w duration %s: write it as 30s, 5m or 1h30m", ErrInvalid, quote(string(text)))
	}
	*d = duration(v)
	return nil
}

// retention is a duration, or [ForeverWord].
type retention time.Duration

func (r retention) MarshalText() ([]byte, error) {
	if time.Duration(r) == Forever {
		return []byte(ForeverWord), nil
	}
	return []byte(time.Duration(r).String()), nil
}

func (r *retention) UnmarshalText(text []byte) error {
	if string(text) == ForeverWord {
		*r = retention(Forever)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%w retention %s: write it as 168h, 90m or %s", ErrInvalid, quote(string(text)), ForeverWord)
	}
	*r = retention(d)
	return nil
}

// MarshalJSON writes the whole definition, with durations as strings.
func (w *Workflow) MarshalJSON() ([]byte, error) {
	return writeJSON(w.wire(), "workflow "+w.FullName())
}

// UnmarshalJSON reads what [Workflow.MarshalJSON] wrote. It refuses unknown fields, and does not validate.
func (w *Workflow) UnmarshalJSON(raw []byte) error {
	var in wireWorkflow
	if err := readJSON(raw, &in, "workflow"); err != nil {
		return err
	}
	*w = in.workflow()
	return nil
}

// Digest is 32 hexadecimal digits that name the whole definition, profiles and input schema included and descriptions left out. It
// does not depend on white space or the order of keys in JSON, nor on the order of maps.
func (w *Workflow) Digest() (string, error) {
	in := w.wire()
	in.Description = ""
	for i := range in.Steps {
		in.Steps[i].Description = ""
	}
	raw, err := writeJSON(in, "workflow "+w.FullName())
	if err != nil {
		return "", err
	}
	canonical, err := CanonicalJSON(raw)
	if err != nil {
		return "", fmt.Errorf("digest of workflow %s: %w", w.FullName(), err)
	}
	return digest(canonical), nil
}

// MarshalJSON writes the graph in canonical JSON, with durations as strings.
func (g *Graph) MarshalJSON() ([]byte, error) {
	return writeJSON(g.wire(), "graph of "+g.FullName())
}

// UnmarshalJSON reads what [Graph.MarshalJSON] wrote. Content that does not match its digest is refused.
func (g *Graph) UnmarshalJSON(raw []byte) error {
	var in wireGraph
	if err := readJSON(raw, &in, "graph"); err != nil {
		return err
	}
	out, err := in.graph()
	if err != nil {
		return err
	}
	sum, err := out.sum()
	if err != nil {
		return err
	}
	if out.Digest != "" && out.Digest != sum {
		return fmt.Errorf("%w graph of %s: its content has digest %s and not %s as it says", ErrInvalid, out.FullName(), sum, quote(out.Digest))
	}
	out.Digest = sum
	*g = out
	return nil
}

// sum computes the digest of everything but the digest.
func (g *Graph) sum() (string, error) {
	w := g.wire()
	w.Digest = ""
	raw, err := writeJSON(w, "graph of "+g.FullName())
	if err != nil {
		return "", err
	}
	return digest(raw), nil
}

func writeJSON(v any, what string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write %s as JSON: %w", what, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func readJSON(raw []byte, v any, what string) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w JSON of a %s: %w", ErrInvalid, what, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w JSON of a %s: more follows after its end", ErrInvalid, what)
	}
	return nil
}

// present turns the JSON null of an absent value into nil.
func present(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return raw
}
