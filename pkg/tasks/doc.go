// Package tasks is what the author of a step's handler imports.
//
// A handler is a plain function from a [Step] to a result. [Handle] registers it under the name that a workflow's definition
// uses; its result becomes the step's output:
//
//	reg := tasks.NewRegistry()
//	tasks.Handle(reg, "billing.charge", func(ctx context.Context, s *tasks.Step) (Receipt, error) {
//		in, err := tasks.Input[Invoice](s)              // the run's input
//		if err != nil {
//			return Receipt{}, err
//		}
//		cart, err := tasks.Output[Cart](ctx, s, "cart") // an ancestor's output
//		if err != nil {
//			return Receipt{}, err
//		}
//		return gateway.Charge(ctx, in.Card, cart.Total, s.EffectKey())
//	})
//
// # Errors
//
// Any error fails the attempt and the step is tried again after the back-off of its policy, up to max_attempts failed attempts.
// [Permanent] fails the step at once. [Refused] does too, and says that a provider's final answer to this effect key was no.
// [RetryAfter] sets the delay to the next attempt. A panic is a failed attempt.
//
// # At least once
//
// A handler runs at least once: a worker may die after the effect and before it could say so. An effect that must happen once is
// made with [Step.EffectKey], at a provider that honours such keys, and on [Step.Attempt] > 1 a handler asks the provider first what became
// of the earlier attempt, because keys age out.
//
// The context ends at the step's timeout, when the claim is lost, when the run is cancelled and when the worker shuts down. A handler that
// returns then gives its step back; one that ignores it is left behind, and what it returns later is dropped.
package tasks
