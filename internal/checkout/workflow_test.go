package checkout_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

func load(t *testing.T) *dag.Workflow {
	t.Helper()
	w, err := definition.Load("../../workflows/ecommerce/process_order.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWorkflowIsTheOneOfTheShop(t *testing.T) {
	t.Parallel()
	w := load(t)
	if w.FullName() != checkout.Workflow || w.Version != "1.0.0" {
		t.Errorf("%s@%s", w.FullName(), w.Version)
	}
	for profiles, want := range map[string][]string{
		"": {
			"validate_cart [] ecommerce 3 in 15s", "process_payment [validate_cart] ecommerce 3 in 30s", "update_inventory [process_payment] ecommerce 2 in 20s",
			"create_order [update_inventory] ecommerce 3 in 15s", "send_confirmation [create_order] ecommerce 5 in 10s",
		},
		"express": {
			"validate_cart [] ecommerce 3 in 15s", "process_payment [validate_cart] ecommerce 1 in 15s", "update_inventory [process_payment] ecommerce 2 in 20s",
			"create_order [update_inventory] ecommerce 3 in 15s", "send_confirmation [create_order] ecommerce 2 in 10s",
		},
		"express premium": {
			"validate_cart [] ecommerce-critical 3 in 15s", "process_payment [validate_cart] ecommerce-critical 1 in 15s",
			"update_inventory [process_payment] ecommerce-critical 2 in 20s", "create_order [update_inventory] ecommerce-critical 3 in 15s",
			"send_confirmation [create_order] ecommerce-critical 2 in 10s",
		},
	} {
		g, err := dag.Compile(w, strings.Fields(profiles)...)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range g.Nodes {
			got = append(got, fmt.Sprint(n.Name, " ", n.Parents, " ", n.Queue, " ", n.Retry.MaxAttempts, " in ", n.Timeout))
			backoff := dag.Policy{MaxAttempts: n.Retry.MaxAttempts, Backoff: dag.BackoffExponential, BaseDelay: time.Second, MaxDelay: 5 * time.Minute, Jitter: 0.1}
			if n.Retry != backoff || n.Handler != "checkout."+n.Name {
				t.Errorf("%s: %+v, handler %s", n.Name, n.Retry, n.Handler)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", profiles, diff)
		}
	}
}

func TestEveryStepHasItsHandler(t *testing.T) {
	t.Parallel()
	var want []string
	for _, step := range load(t).Steps {
		want = append(want, step.Handler)
	}
	slices.Sort(want)
	reg := tasks.NewRegistry()
	checkout.Register(reg, checkout.Deps{Store: fakes{}, Gateway: fakes{}, Mailer: fakes{}})
	if diff := cmp.Diff(want, reg.Names()); diff != "" {
		t.Error(diff)
	}
}

func TestInputSchema(t *testing.T) {
	t.Parallel()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(load(t).InputSchema))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddResource("order.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("order.json")
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, with string) string {
		if !strings.Contains(goodRequest, old) {
			t.Fatalf("%s is not in the request", old)
		}
		return strings.Replace(goodRequest, old, with, 1)
	}
	shipped := func(priority string) string {
		return edit(`{"cart`, `{"priority":"`+priority+`","shipping_info":{"address":"1 Main St","city":"X","state":"Y","zip":"1"},"cart`)
	}
	for _, good := range []string{
		goodRequest, request(`[]`, "0", ""), shipped("standard"), shipped("express"), shipped("overnight"),
		edit(`"name"`, `"id":1,"tier":"enterprise","phone":"1","name"`), edit(`"quantity":2`, `"quantity":2,"price":1.5,"name":"n"`),
	} {
		check(t, schema, good, true)
	}
	for _, bad := range []string{
		`{}`, `[]`, shipped("tomorrow"), edit(`"cart_items"`, `"items"`), edit(`"payment_info"`, `"payment"`), edit(`"customer_info"`, `"customer"`),
		edit(`"product_id":1`, `"product_id":1.5`), edit(`"product_id":1,`, ``), edit(`"quantity":2`, `"quantity":0`), edit(`,"quantity":2`, ``),
		edit(`"quantity":2`, `"quantity":2,"price":-1`), edit(`124.76`, `-1`), edit(`124.76`, `"124.76"`), edit(`credit_card`, `cash`), edit(`USD`, `usd`),
		edit(`"tok"`, `1`), edit(`ada@example.org`, `ada`), edit(`Ada Lovelace`, ``), edit(`"name"`, `"tier":"gold","name"`),
		strings.Replace(shipped("express"), `"zip":"1"`, `"zip":1`, 1), strings.Replace(shipped("express"), `,"zip":"1"`, ``, 1),
	} {
		check(t, schema, bad, false)
	}
}

func check(t *testing.T, schema *jsonschema.Schema, text string, good bool) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(v); (err == nil) != good {
		t.Errorf("%s: %v, want valid %t", text, err, good)
	}
}

// The body that OpenAPI documents is the input that the workflow's schema accepts.
func TestDocumentedBodyIsTheSchema(t *testing.T) {
	t.Parallel()
	api, _ := (&runs{}).api()
	raw, err := json.Marshal(api.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	doc := decode[map[string]any](t, raw)
	body := at(doc, "paths", "/v1/orders", "post", "requestBody")
	if at(body, "required") != true {
		t.Error("the body is documented as optional")
	}
	want, got := map[string]string{}, map[string]string{}
	flatten(want, "", decode[map[string]any](t, load(t).InputSchema), nil)
	flatten(got, "", at(body, "content", "application/json", "schema"), doc)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(want) < 18 {
		t.Errorf("only %d fields were compared: %v", len(want), want)
	}
}

func at(v any, path ...string) any {
	for _, field := range path {
		object, _ := v.(map[string]any)
		v = object[field]
	}
	return v
}

// flatten writes field → constraints, with what both kinds of schema can say.
func flatten(into map[string]string, path string, schema any, doc map[string]any) {
	if ref, ok := at(schema, "$ref").(string); ok {
		schema = at(doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	constraints := map[string]any{}
	for _, name := range []string{"enum", "format", "minimum", "minLength", "default"} {
		if v := at(schema, name); v != nil && v != "int64" {
			constraints[name] = v
		}
	}
	if kind := at(schema, "type"); at(schema, "enum") == nil {
		if kinds, ok := kind.([]any); ok {
			kind = kinds[0] // a list is nullable in Go
		}
		constraints["type"] = kind
	}
	if required, ok := at(schema, "required").([]any); ok {
		slices.SortFunc(required, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		constraints["required"] = required
	}
	into[path] = fmt.Sprint(constraints)
	fields, _ := at(schema, "properties").(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		flatten(into, path+"/"+name, fields[name], doc)
	}
	if items := at(schema, "items"); items != nil {
		flatten(into, path+"/*", items, doc)
	}
}
