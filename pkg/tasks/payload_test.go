package tasks_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

const goodPayload = `{"run":"run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA","step":"pay","epoch":1,"def":"0123456789abcdef0123456789abcdef"}`

func TestPayloadGoesThereAndBack(t *testing.T) {
	t.Parallel()
	want := tasks.Payload{
		Run: dag.NewRunID(63, strings.Repeat("Z", 26)), Step: strings.Repeat("s", dag.MaxNameBytes), Epoch: math.MaxInt, Def: strings.Repeat("f", 32),
	}
	raw, err := want.Encode()
	if err != nil || len(raw) > tasks.MaxPayloadBytes {
		t.Fatalf("%d bytes at the longest names, %v", len(raw), err)
	}
	if got, err := tasks.DecodePayload(raw); err != nil || got != want {
		t.Errorf("payload %+v, %v", got, err)
	}
}

func TestDecodePayloadIsStrict(t *testing.T) {
	t.Parallel()
	if _, err := tasks.DecodePayload([]byte(goodPayload)); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"empty":         "",
		"null":          "null",
		"no object":     `"run"`,
		"unknown field": strings.Replace(goodPayload, `"epoch"`, `"amount":1,"epoch"`, 1),
		"more follows":  goodPayload + "{}",
		"no run":        strings.Replace(goodPayload, "run_3f_", "", 1),
		"partition":     strings.Replace(goodPayload, "run_3f_", "run_40_", 1),
		"step":          strings.Replace(goodPayload, `"pay"`, `"Pay"`, 1),
		"epoch 0":       strings.Replace(goodPayload, `"epoch":1`, `"epoch":0`, 1),
		"epoch 1.5":     strings.Replace(goodPayload, `"epoch":1`, `"epoch":1.5`, 1),
		"digest":        strings.Replace(goodPayload, "abcdef", "ABCDEF", 1),
		"short digest":  strings.Replace(goodPayload, "abcdef", "abcde", 1),
		"too long":      strings.Replace(goodPayload, `"pay"`, `"`+strings.Repeat("p", 300)+`"`, 1),
	} {
		if p, err := tasks.DecodePayload([]byte(raw)); !errors.Is(err, dag.ErrInvalid) {
			t.Errorf("%s: %+v, %v; want an error that wraps ErrInvalid", name, p, err)
		}
	}
}

func TestTypeOfAndBack(t *testing.T) {
	t.Parallel()
	if name, ok := tasks.HandlerOf(tasks.TypeOf("shop.pay")); !ok || name != "shop.pay" {
		t.Errorf("%q, %t", name, ok)
	}
	for _, foreign := range []string{"", "email:send", tasks.TypeStart} {
		if name, ok := tasks.HandlerOf(foreign); ok {
			t.Errorf("%q is taken for handler %q", foreign, name)
		}
	}
}

func FuzzDecodePayload(f *testing.F) {
	f.Add([]byte(goodPayload))
	f.Add([]byte(`{"run":null}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := tasks.DecodePayload(raw)
		if err != nil {
			if !errors.Is(err, dag.ErrInvalid) {
				t.Fatalf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		again, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := tasks.DecodePayload(again); err != nil || back != p {
			t.Fatalf("%+v comes back as %+v, %v", p, back, err)
		}
	})
}
