package dag_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stepwell/stepwell/pkg/dag"
)

// FuzzNames tries what callers name things by: idempotency keys, labels, steps, handlers. What is accepted keeps its place in a Redis key.
func FuzzNames(f *testing.F) {
	f.Add("order-42", "tier", "gold", "process_payment", "checkout.process_payment")
	f.Add("8e03978e-40d5-43e8-bc93-6894a57f9324", "app.kubernetes.io/name", "größer", "a", "-")
	f.Add("", "", "", "", "")
	f.Add("a\x00b", "a=b", "\x7f", "Step", "a:b")
	f.Add(strings.Repeat("k", dag.MaxKeyBytes+1), strings.Repeat("l", dag.MaxLabelNameBytes+1), "\xff", "é", "{sw:00}")
	f.Fuzz(func(t *testing.T, key, label, value, name, handler string) {
		if err := dag.CheckKey(key); accepted(t, err) && (key == "" || len(key) > dag.MaxKeyBytes || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' })) {
			t.Errorf("idempotency key %q is accepted", key)
		}
		if err := dag.CheckLabels(map[string]string{label: value}); accepted(t, err) &&
			(label == "" || strings.ContainsAny(label, "={}: \n") || !utf8.ValidString(value) || len(value) > dag.MaxLabelBytes || strings.ContainsAny(value, "\x00\n")) {
			t.Errorf("label %q=%q is accepted", label, value)
		}
		if err := dag.CheckName("step", name); accepted(t, err) && (name == "" || strings.ContainsAny(name, ":{} \n\x00") || !utf8.ValidString(name)) {
			t.Errorf("name %q is accepted", name)
		}
		if err := dag.CheckHandler(handler); accepted(t, err) && (handler == "" || len(handler) > dag.MaxHandlerBytes || strings.ContainsAny(handler, ":{} \n\x00")) {
			t.Errorf("handler %q is accepted", handler)
		}
		if p := dag.PartitionOf(name, handler, key); p < 0 || p >= dag.Partitions {
			t.Errorf("partition %d", p)
		}
	})
}

// accepted tells whether there is no error. An error has to say that it is about input, on lines that a log can take.
func accepted(t *testing.T, err error) bool {
	t.Helper()
	if err == nil {
		return true
	}
	if !errors.Is(err, dag.ErrInvalid) || !utf8.ValidString(err.Error()) {
		t.Errorf("error %q does not wrap ErrInvalid, or is no text", err)
	}
	return false
}
