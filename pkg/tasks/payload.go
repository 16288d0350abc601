package tasks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	// TypePrefix is what the type of a task that delivers a step begins with; the handler's name follows.
	TypePrefix = "step:"
	// TypeStart is the type of a task by which another service starts a run; its payload is the body of POST /v1/runs with idempotency_key.
	TypeStart = "stepwell:start"
	// StartQueue is the queue of start tasks.
	StartQueue = "stepwell"
	// MaxPayloadBytes bounds the payload of a task that delivers a step.
	MaxPayloadBytes = 300
)

// Payload is what a task that delivers a step carries: which step to ask for, no business data.
type Payload struct {
	Run   string `json:"run"`
	Step  string `json:"step"`
	Epoch int    `json:"epoch"`
	Def   string `json:"def"` // digest of the run's graph
}

// TypeOf is the type of the task that delivers a step to the handler.
func TypeOf(handler string) string { return TypePrefix + handler }

// HandlerOf is the inverse of [TypeOf]; ok is false for a type that is not of a step.
func HandlerOf(taskType string) (handler string, ok bool) {
	return strings.CutPrefix(taskType, TypePrefix)
}

// Encode writes the payload of a task.
func (p Payload) Encode() ([]byte, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write payload of step %s of run %s: %w", p.Step, p.Run, err)
	}
	return raw, nil
}

// DecodePayload reads the payload of a task and checks every field. The error wraps [dag.ErrInvalid].
func DecodePayload(raw []byte) (Payload, error) {
	var p Payload
	if len(raw) > MaxPayloadBytes {
		return p, fmt.Errorf("%w: task payload of %d bytes, at most %d are allowed", dag.ErrInvalid, len(raw), MaxPayloadBytes)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Payload{}, fmt.Errorf("%w: task payload: %w", dag.ErrInvalid, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Payload{}, fmt.Errorf("%w: task payload: something follows the object", dag.ErrInvalid)
	}
	return p, p.check()
}

// DeliveryOf reads which delivery the task of that ID, type and payload is; is tells whether it is one at all. A copy under another ID is none: the queue
// would not find it by the delivery's name.
func DeliveryOf(id, taskType string, payload []byte) (d dag.Delivery, is bool) {
	if _, step := HandlerOf(taskType); !step {
		return dag.Delivery{}, false
	}
	p, err := DecodePayload(payload)
	if err != nil {
		return dag.Delivery{}, false
	}
	d = dag.Delivery{Run: p.Run, Step: p.Step, Epoch: p.Epoch}
	return d, d.TaskID() == id
}

func (p Payload) check() error {
	if _, err := dag.RunPartition(p.Run); err != nil {
		return fmt.Errorf("task payload: run: %w", err)
	}
	if err := dag.CheckName("step", p.Step); err != nil {
		return fmt.Errorf("task payload: %w", err)
	}
	if p.Epoch < 1 {
		return fmt.Errorf("%w: task payload: epoch %d, must be at least 1", dag.ErrInvalid, p.Epoch)
	}
	if !isDigest(p.Def) {
		return fmt.Errorf("%w: task payload: def must be 32 lower-case hexadecimal digits", dag.ErrInvalid)
	}
	return nil
}

func isDigest(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}
