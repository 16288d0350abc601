// Package gatewaysim is a payment gateway to test against: an HTTP service of its own with the semantics of a real
// provider (idempotency keys, final and transient failures, replies that get lost, charges that take long) and a durable
// ledger, so that "charged once" is checked against the gateway's books and not against the claims of its client.
//
// # HTTP
//
//	POST /v1/charges   Idempotency-Key: K   {amount, currency, method, token, metadata{run, step}}  → 200 Charge
//	POST /v1/refunds   Idempotency-Key: K   {charge, amount?, metadata{run, step}}                  → 200 Refund
//	GET  /v1/charges[?key=K] · /v1/refunds[?key=K]   → 200 {data: […]}, in the order they were made
//	GET  /v1/sim/calls[?key=K]                       → 200 {data: [KeyCalls]}: every accepted call, "tried 3 times, charged once"
//	POST /v1/sim/release[?key=K]                     → 200 {released: n}, answered when those charges are in the ledger
//	GET  /healthz                                    → 200, or 503 once the ledger cannot be written
//
// Errors are {error: {type, code, message, param?, retry_after?}}: 400 malformed, 401 wrong API key, 402 declined, 404, 405,
// 409 a key used again with another body, 413, 429 (with Retry-After, whole seconds), 500, 502, 503 and 504. Amounts are JSON
// numbers with two decimals and are decimal everywhere. A request's unknown fields are refused, so that a misspelt
// one cannot vanish.
//
// # Tokens decide what happens
//
//	test_success_…       charged; visa, mastercard or amex in the token is the card's brand
//	test_insufficient_…  402 insufficient_funds, final
//	test_invalid_…       402 invalid_card, final
//	test_timeout_…       504 gateway_timeout, at once
//	test_rate_limit_…    429 rate_limited
//	test_temp_fail_…     502 temporary_failure for the first two calls of a key, then charged
//	test_lost_reply_…    charged, but the call that charges gets its connection dropped instead of a reply
//	test_hold_…          waits for /v1/sim/release, the hold limit or the gateway's shutdown, then is charged
//	any other            charged in 95 % of calls, else a transient failure; a function of seed, key and number of the call
//
// # Guarantees
//
//   - One key is charged at most once, however many calls carry it, one after the other or at the same time.
//   - What a reply says is in the ledger, synced to disk, before the reply is sent.
//   - A final answer (charged, declined) is given again for its key, after a restart too. Transient failures are never remembered as
//     answers, but every call is counted in the ledger, so a restart changes no outcome.
//   - A held charge is made although its client has gone away. No lock is held while it waits.
//   - Refunds of a charge never add up to more than the charge.
//   - The payment token is not written anywhere, only a digest of the whole request.
//
// # Non-guarantees
//
// One process at a time may have a ledger open. Keys do not age out. A hold that a kill -9 of the gateway interrupts is not
// charged; the next call with its key waits anew. Charges and refunds have separate key spaces.
//
// # Ledger file
//
// One JSON object per line, appended and never changed: kind "call" (one accepted call to POST /v1/charges with its outcome, and the
// charge when it made one), "charge" (made after a hold) or "refund". A last line without its line feed is a write that
// was cut short and never answered: it is ignored by readers and removed when the gateway opens the file. Anything else that does not
// parse, or a second charge for a key, is an error that names file and line.
package gatewaysim
