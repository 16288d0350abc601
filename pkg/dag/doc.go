// Package dag is the domain of Stepwell: what a workflow is, what may happen to a run of it, and the records that the other packages
// exchange. It is pure: standard library only, no clock, no randomness, no I/O. Whatever depends on time or chance is an argument.
//
// # Vocabulary
//
// A [Workflow] is a versioned definition: named [Step] values and which steps each of them depends on. It is data, built in Go or
// read from a file. [Compile] turns it into a [Graph]: validated, [Profile] values applied, every default filled in, named by the
// digest of its content. A run is one execution of a graph, from its [NewRun] to a [RunState] that is [RunState.Ended]; it keeps
// its graph for life, so that no deploy changes a live run. A StepRun, seen as [StepView], is a step inside one run. An attempt is
// one try of a StepRun: it succeeds, fails (it returned an error or timed out; only that uses up MaxAttempts) or crashes (its process
// went silent). An epoch counts how often a StepRun was issued to the queue; a [Delivery] is one such issue. The word task means a
// message of the queue and nothing else.
//
// # A workflow
//
// Three steps, the second and third one after the other:
//
//	w := &dag.Workflow{
//		Namespace: "billing", Name: "invoice", Version: "1.0.0",
//		Defaults: dag.Defaults{Retry: dag.RetryPolicy{MaxAttempts: 5}},
//		Steps: []dag.Step{
//			{Name: "cart", Handler: "billing.cart"},
//			{Name: "charge", Handler: "billing.charge", DependsOn: []string{"cart"}, Timeout: 15 * time.Second},
//			{Name: "mail", Handler: "billing.mail", DependsOn: []string{"charge"}, Queue: "mail"},
//		},
//		Profiles: map[string]dag.Profile{
//			"premium": {Defaults: dag.Defaults{Queue: "billing-critical"}},
//		},
//	}
//
// [Workflow.Validate] lists all that is wrong with it at once, each problem with its place and its mend. Compile does the same first:
//
//	g, err := dag.Compile(w, "premium")
//
// Now g.Nodes stand in topological order. charge waits 15 s at most and is tried five times; it runs on billing-critical, because
// the profile moves every step that does not name its own queue, and mail stays on mail. What holds for a step is said by, the
// strongest first: a profile's word about the step, the step, a profile's defaults, the workflow's defaults, this package's.
//
// # What is ready
//
// [Graph.Roots] run first. Each settled step tells its children its [Outcome]; a child counts them in a [Tally], and its [Join] rule
// decides:
//
//	t := dag.Tally{}.Add(dag.OutcomeOK, 1)
//	t = t.Add(dag.OutcomeSkip, 1)
//	dag.JoinNoneFailed.Decide(t, 2) // DecisionRun: a skipped parent counts as done
//
// A failed step does not stop branches that do not depend on it. [CanRun] and [CanStep] are the tables of all changes of state.
//
// # Trying again
//
// A compiled step has a [Policy]. [Policy.Delay] is the wait after a number of failures, and takes the random number for its jitter
// as an argument; [Policy.RetryAfter] bounds what a provider asks for. [EffectKey] is the key under which a step's effect happens once.
//
// # Pictures
//
// [Mermaid], [DOT] and [SVG] draw a graph, with the states of a run's steps when they are given. A Graph and a Workflow are also JSON,
// with durations as strings; reading back what was written gives the same digest.
//
// # Guarantees
//
// Every refusal wraps [ErrInvalid]; nothing here panics on values from outside. The same workflow and profiles always compile to the
// same digest, whatever the order of maps and the white space in JSON. A compiled graph has no circle, no unknown name, and is within
// the limits of this package. The types do not guard against being built by hand: a Graph literal is not validated.
package dag
