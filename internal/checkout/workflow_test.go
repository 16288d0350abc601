package checkout_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/pkg/tasks"
)

type retry struct {
	MaxAttempts int `yaml:"max_attempts"`
}

type step struct {
	Name, Handler, Timeout, Queue string
	DependsOn                     []string `yaml:"depends_on"`
	Retry                         retry
}

type definition struct {
	Namespace, Name, Version string
	InputSchema              map[string]any `yaml:"input_schema"`
	Steps                    []step
	Profiles                 map[string]struct {
		Defaults struct{ Queue string }
		Steps    map[string]step
	}
}

func load(t *testing.T) definition {
	t.Helper()
	source, err := os.ReadFile("../../workflows/ecommerce/process_order.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d definition
	if err := yaml.Unmarshal(source, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWorkflowIsTheOneOfTheShop(t *testing.T) {
	t.Parallel()
	d := load(t)
	want := []step{
		{Name: "validate_cart", Timeout: "15s", Retry: retry{3}},
		{Name: "process_payment", Timeout: "30s", Retry: retry{3}},
		{Name: "update_inventory", Timeout: "20s", Retry: retry{2}},
		{Name: "create_order", Timeout: "15s", Retry: retry{3}},
		{Name: "send_confirmation", Timeout: "10s", Retry: retry{5}},
	}
	var handlers []string
	for i := range want {
		want[i].Handler = "checkout." + want[i].Name
		handlers = append(handlers, want[i].Handler)
		if i > 0 {
			want[i].DependsOn = []string{want[i-1].Name}
		}
	}
	if diff := cmp.Diff(want, d.Steps); diff != "" {
		t.Error(diff)
	}
	if d.Namespace+"/"+d.Name != checkout.Workflow || d.Version != "1.0.0" {
		t.Errorf("%s/%s@%s", d.Namespace, d.Name, d.Version)
	}
	reg := tasks.NewRegistry()
	checkout.Register(reg, checkout.Deps{Store: fakes{}, Gateway: fakes{}, Mailer: fakes{}})
	slices.Sort(handlers)
	if diff := cmp.Diff(handlers, reg.Names()); diff != "" {
		t.Error(diff)
	}
	express := map[string]step{"process_payment": {Timeout: "15s", Retry: retry{1}}, "send_confirmation": {Retry: retry{2}}}
	if diff := cmp.Diff(express, d.Profiles["express"].Steps); diff != "" {
		t.Error(diff)
	}
	if p := d.Profiles["premium"]; p.Defaults.Queue != "ecommerce-critical" || len(p.Steps) > 0 || len(d.Profiles) != 2 {
		t.Errorf("profiles %+v", d.Profiles)
	}
}

func TestInputSchema(t *testing.T) {
	t.Parallel()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	raw, err := json.Marshal(load(t).InputSchema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
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
	raw, err = json.Marshal(load(t).InputSchema)
	if err != nil {
		t.Fatal(err)
	}
	want, got := map[string]string{}, map[string]string{}
	flatten(want, "", decode[map[string]any](t, raw), nil)
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
