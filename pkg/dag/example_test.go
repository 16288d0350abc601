package dag_test

import (
	"fmt"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// invoice is the workflow of the package's introduction.
func invoice() *dag.Workflow {
	return &dag.Workflow{
		Namespace: "billing", Name: "invoice", Version: "1.0.0",
		Defaults: dag.Defaults{Retry: dag.RetryPolicy{MaxAttempts: 5}},
		Steps: []dag.Step{
			{Name: "cart", Handler: "billing.cart"},
			{Name: "charge", Handler: "billing.charge", DependsOn: []string{"cart"}, Timeout: 15 * time.Second},
			{Name: "mail", Handler: "billing.mail", DependsOn: []string{"charge"}, Queue: "mail"},
		},
		Profiles: map[string]dag.Profile{
			"premium": {Defaults: dag.Defaults{Queue: "billing-critical"}},
		},
	}
}

// A profile's default queue moves every step that does not name its own.
func ExampleCompile() {
	g, err := dag.Compile(invoice(), "premium")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range g.Nodes {
		fmt.Println(n.Name, "after", n.Parents, "on", n.Queue, "within", n.Timeout, n.Retry.MaxAttempts, "attempts")
	}
	// Output:
	// cart after [] on billing-critical within 30s 5 attempts
	// charge after [cart] on billing-critical within 15s 5 attempts
	// mail after [charge] on mail within 30s 5 attempts
}

// All problems are reported at once, each with its place and its mend.
func ExampleWorkflow_Validate() {
	w := invoice()
	w.Version = "1"
	w.Steps[0].DependsOn = []string{"mail"}
	w.Steps[2].DependsOn = []string{"charge", "crat"}
	fmt.Println(w.Validate())
	// Output:
	// version: "1" is not a semantic version; write three numbers, for example 1.0.0 or 1.1.0-rc.1
	// steps.mail.depends_on[1]: there is no step "crat"; did you mean "cart"?
	// steps depend on each other in a circle: cart → charge → mail → cart; remove one of these dependencies
}

// A run begins with the roots; each settled step tells its children, and their join rule decides.
func ExampleJoin_Decide() {
	g, err := dag.Compile(invoice())
	if err != nil {
		fmt.Println(err)
		return
	}
	tallies := map[string]dag.Tally{}
	for ready := g.Roots(); len(ready) > 0; ready = ready[1:] {
		fmt.Println("run", ready[0])
		n, _ := g.Node(ready[0])
		for _, name := range n.Children {
			child, _ := g.Node(name)
			tallies[name] = tallies[name].Add(dag.OutcomeOK, 1)
			if child.Join.Decide(tallies[name], len(child.Parents)) == dag.DecisionRun {
				ready = append(ready, name)
			}
		}
	}
	// Output:
	// run cart
	// run charge
	// run mail
}

// The random number is passed in; 0.5 is the middle, where jitter does nothing.
func ExamplePolicy_Delay() {
	p := dag.Policy{Backoff: dag.BackoffExponential, BaseDelay: time.Second, MaxDelay: 5 * time.Second, Jitter: 0.1}
	for failures := 1; failures <= 4; failures++ {
		fmt.Print(p.Delay(failures, 0.5), " ")
	}
	fmt.Println(p.Delay(1, 0))
	// Output: 1s 2s 4s 5s 900ms
}

func ExampleMermaid() {
	g, err := dag.Compile(invoice())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(dag.Mermaid(g, map[string]dag.StepState{"cart": dag.StepSucceeded, "charge": dag.StepRunning}))
	// Output:
	// flowchart TD
	//     s0["cart<br/>succeeded"]:::succeeded
	//     s1["charge<br/>running"]:::running
	//     s2["mail<br/>pending"]:::pending
	//     s0 --> s1
	//     s1 --> s2
	//     classDef pending fill:#f1f5f9,stroke:#64748b,color:#0f172a
	//     classDef running fill:#bfdbfe,stroke:#2563eb,color:#0f172a
	//     classDef succeeded fill:#bbf7d0,stroke:#16a34a,color:#0f172a
}

// The form of a request that does not depend on who wrote it; the text of numbers stays.
func ExampleCanonicalJSON() {
	raw, err := dag.CanonicalJSON([]byte(`{ "total": 19.90, "items": ["\u0041"] }`))
	fmt.Println(string(raw), err)
	_, err = dag.CanonicalJSON([]byte(`{"total": 1, "total": 2}`))
	fmt.Println(err)
	// Output:
	// {"items":["A"],"total":19.90} <nil>
	// invalid JSON: the key "total" is there twice; remove one
}

func ExampleDelivery_TaskID() {
	run := dag.NewRunID(dag.PartitionOf("billing", "invoice", "inv-42"), "01J9Z0K3V8Q6S5T4R3W2X1Y0ZA")
	d := dag.Delivery{Run: run, Step: "charge", Epoch: 2}
	back, ok := dag.ParseTaskID(d.TaskID())
	fmt.Println(back.Step, back.Epoch, ok)
	// Output: charge 2 true
}
