package dag_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/pkg/dag"
)

func TestCheckNames(t *testing.T) {
	t.Parallel()
	const letters = ": use lower-case letters, digits, _ and -, and begin with a letter"
	name := func(s string) error { return dag.CheckName("step name", s) }
	cases := []struct {
		check func(string) error
		value string
		want  string // "" when valid
	}{
		{name, "a", ""},
		{name, "a-1_b", ""},
		{name, strings.Repeat("a", 63), ""},
		{name, "", `invalid step name "": it is required`},
		{name, "1a", `invalid step name "1a"` + letters},
		{name, "_a", `invalid step name "_a"` + letters},
		{name, "a.b", `invalid step name "a.b"` + letters},
		{name, "a:b", `invalid step name "a:b"` + letters},
		{name, "ä\n", `invalid step name "\u00e4\n"` + letters},
		{name, strings.Repeat("a", 64), `invalid step name "` + strings.Repeat("a", 64) + `": it has 64 bytes, more than the limit of 63`},
		{dag.CheckHandler, "checkout.process-payment_2", ""},
		{dag.CheckHandler, strings.Repeat("h", 128), ""},
		{dag.CheckHandler, "", `invalid handler name "": it is required`},
		{dag.CheckHandler, "a b", `invalid handler name "a b": use lower-case letters, digits, _ . and -`},
		{dag.CheckHandler, strings.Repeat("h", 129), `invalid handler name "` + strings.Repeat("h", 80) + `"…: it has 129 bytes, more than the limit of 128`},
		{dag.CheckKey, "order 42/~!", ""},
		{dag.CheckKey, strings.Repeat("k", 255), ""},
		{dag.CheckKey, "", `invalid idempotency key "": it must have 1 to 255 characters`},
		{dag.CheckKey, strings.Repeat("k", 256), `invalid idempotency key "` + strings.Repeat("k", 80) + `"…: it has 256 bytes, more than the limit of 255`},
		{dag.CheckKey, "a\tb", `invalid idempotency key "a\tb": byte 2 is not a printable ASCII character`},
		{dag.CheckKey, "aé", `invalid idempotency key "a\u00e9": byte 2 is not a printable ASCII character`},
		{dag.CheckKey, "a\x7f", `invalid idempotency key "a\x7f": byte 2 is not a printable ASCII character`},
	}
	for _, c := range cases {
		err := c.check(c.value)
		if got := text(err); got != c.want || (err != nil && !errors.Is(err, dag.ErrInvalid)) {
			t.Errorf("%q: got %s\nwant %s", c.value, got, c.want)
		}
	}
}

func TestCheckLabels(t *testing.T) {
	t.Parallel()
	if err := dag.CheckLabels(map[string]string{"tier": "premium", "app.k8s.io/Name": "Größe 1", "e": ""}); err != nil {
		t.Error(err)
	}
	if err := dag.CheckLabels(nil); err != nil {
		t.Error(err)
	}
	err := dag.CheckLabels(map[string]string{
		"a=b": "x", "": "x", "long": strings.Repeat("v", 257), "tab": "\t", "utf8": "\xff", strings.Repeat("n", 65): "",
	})
	want := `labels[""]: a label's name has 1 to 64 bytes
labels["a=b"]: use letters, digits and _ . / - in a label's name
labels.long: its value has 257 bytes, more than the limit of 256
labels["` + strings.Repeat("n", 65) + `"]: a label's name has 1 to 64 bytes
labels.tab: its value has a control character
labels.utf8: its value is not UTF-8`
	if diff := cmp.Diff(want, text(err)); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	many := map[string]string{}
	for i := range 17 {
		many[strconv.Itoa(i)] = ""
	}
	if got, want := text(dag.CheckLabels(many)), "labels: there are 17, more than the limit of 16"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	ascending := []string{ // the example of semver.org, and more
		"", "1.0", "v1.0.0",
		"0.0.1-0", "0.0.1", "0.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
		"1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0", "10.0.0", "10.0.99999999999999999999999", "10.0.100000000000000000000000",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := dag.CompareVersions(a, b); got != want {
				t.Errorf("%q and %q: got %d, want %d", a, b, got, want)
			}
		}
	}
	if dag.CompareVersions("1.0.0+a", "1.0.0+b") != 0 || dag.CompareVersions("1.0.0-a+x", "1.0.0-a") != 0 {
		t.Error("build metadata counts")
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	valid := []string{"0.0.0", "1.0.0-rc.1", "1.0.0-0a.-", "1.0.0-x-y-z.--", "1.0.0+001", "1.0.0-a+b.c"}
	invalid := []string{"1", "1.0", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+", "1.0.0-a..b", "1.0.0 ", "1.0.0-ä", "1.0.0\n", "latest"}
	for _, v := range slices.Concat(valid, invalid) {
		w := shape("a")
		w.Version = v
		if got, want := w.Validate() == nil, slices.Contains(valid, v); got != want {
			t.Errorf("%q: valid %t, want %t", v, got, want)
		}
	}
	for v, want := range map[string]bool{"1.0.0": false, "1.0.0+a-b": false, "1.0.0-a": true, "1.0-a": false} {
		if dag.IsPrerelease(v) != want {
			t.Errorf("%q: pre-release is not %t", v, want)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	const ulid = "01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"
	id := dag.NewRunID(63, ulid)
	if p, err := dag.RunPartition(id); p != 63 || err != nil || id != "run_3f_"+ulid {
		t.Errorf("%s: partition %d, %v", id, p, err)
	}
	for _, bad := range []string{"", "run_40_" + ulid, "run_3F_" + ulid, "run_3f_" + ulid + "0", "x" + id, id + "\n", "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZU"} {
		if _, err := dag.RunPartition(bad); !errors.Is(err, dag.ErrInvalid) {
			t.Errorf("%q is a run ID: %v", bad, err)
		}
	}
	// Pinned: a run that moved would no longer be found by its key.
	if p := dag.PartitionOf("ecommerce", "process_order", "order-42"); p != 14 {
		t.Errorf("partition is %d", p)
	}
	d := dag.Delivery{Run: id, Step: "charge", Epoch: 12}
	if d.TaskID() != id+":charge:e12" {
		t.Errorf("task ID is %s", d.TaskID())
	}
	if back, ok := dag.ParseTaskID(d.TaskID()); !ok || back != d {
		t.Errorf("parsed %+v, %t", back, ok)
	}
	for _, bad := range []string{"", "a", "a:b", "a:b:e", "a:b:e0", "a:b:e-1", "a:b:e+1", "a:b:e01", "a:b:c1", ":b:e1", "a::e1", "a:b:e99999999999999999999"} {
		if d, ok := dag.ParseTaskID(bad); ok {
			t.Errorf("%q is a task ID: %+v", bad, d)
		}
	}
	if k := dag.EffectKey(id, "charge", 0); k != id+":charge" {
		t.Errorf("effect key is %s", k)
	}
	if k := dag.EffectKey(id, "charge", 2); k != id+":charge:r2" {
		t.Errorf("effect key is %s", k)
	}
}
