package engine_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestNewRunsAreRefusedWhenMemoryIsNearlyFull(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		memory dag.Memory
		full   bool
	}{
		"no limit":      {dag.Memory{Used: 1 << 40}, false},
		"nothing known": {dag.Memory{}, false},
		"below":         {dag.Memory{Used: 899, Max: 1000}, false},
		"at 90 %":       {dag.Memory{Used: 900, Max: 1000}, true},
		"beyond":        {dag.Memory{Used: 1100, Max: 1000}, true},
		"a large one":   {dag.Memory{Used: 8 << 50, Max: 8 << 50}, true}, // no overflow
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.store.SetMemoryUse(c.memory)
			r.LookAtMemory(t.Context())
			_, err := r.Start(t.Context(), engine.StartRequest{Workflow: "shop/order"})
			if errors.Is(err, engine.ErrMemory) != c.full || (err != nil) != c.full {
				t.Errorf("start: %v, want refused: %t", err, c.full)
			}
		})
	}
}

// TestARepetitionNeedsNoMemory repeats requests with their keys when there is no room, told by the look or by the store itself.
func TestARepetitionNeedsNoMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	full := dag.Memory{Used: 95, Max: 100}
	request := func(key string) engine.StartRequest {
		return engine.StartRequest{Workflow: "shop/order", Key: key, Input: json.RawMessage(`{"n":1}`)}
	}
	first, err := r.Start(t.Context(), request("old"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		again, err := r.Start(t.Context(), request("old"))
		if err != nil || !again.Replayed || again.Run.ID != first.Run.ID {
			t.Errorf("%s: a repetition: %+v, %v", when, again, err)
		}
		if _, err := r.Start(t.Context(), request("new")); !errors.Is(err, engine.ErrMemory) {
			t.Errorf("%s: a new run: %v", when, err)
		}
		other := request("old")
		other.Input = nil
		if _, err := r.Start(t.Context(), other); !errors.Is(err, engine.ErrMemory) {
			t.Errorf("%s: another request under the key: %v", when, err)
		}
	}
	r.store.SetMemoryUse(full)
	r.LookAtMemory(t.Context())
	check("nearly full")

	r.faults.Hook = func(method string) enginetest.Fault {
		if method == "MemoryUse" {
			return enginetest.FaultRefused
		}
		return enginetest.FaultNone
	}
	r.store.SetMemoryUse(dag.Memory{})
	r.LookAtMemory(t.Context())
	check("the store cannot be asked any more")

	r.faults.Hook = nil
	r.LookAtMemory(t.Context())
	r.store.SetMemoryUse(dag.Memory{Used: 100, Max: 100}) // within a second, before the next look
	check("out of memory")

	r.store.SetMemoryUse(dag.Memory{})
	if _, err := r.Start(t.Context(), request("new")); err != nil {
		t.Errorf("there is memory again: %v", err)
	}
}
