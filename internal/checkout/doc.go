// Package checkout is a shop whose checkout is a workflow: catalogue, stock and orders in a SQL database, a payment gateway behind HTTP, a
// mail server behind SMTP, five step handlers, and the HTTP routes of an order.
//
// # The story
//
// A checkout that does everything in one request fails on a busy day in the worst way: cards are charged without an order, stock is locked without a
// purchase, and people reconcile the books by hand. Here each of its five effects is a step of its own that is tried again on its own:
//
//	validate_cart → process_payment → update_inventory → create_order → send_confirmation
//
// [Register] puts the handlers into a worker's registry. Each checks what it was given (a permanent error with a code), makes one call to the outside,
// and shapes the result. [Routes] lets a customer place an order, see it, and have it retried; both only know interfaces, so this package knows
// nothing of the engine that runs it. workflows/ecommerce/process_order.yaml is the definition.
//
// # Guarantees
//
//   - A run is charged at most once at a gateway that honours idempotency keys: every attempt carries the effect key, and one that is not the first asks
//     the gateway before it charges. What is charged is the total of the validated cart, and only if the customer agreed to it to the cent. A final no
//     is tasks.Refused, so that an operator's retry comes with a new key.
//   - A run's stock is reserved once, all items or none, and stock never falls below zero. Rows are locked in order of product, so that no two runs
//     block each other.
//   - A run has at most one order, whoever creates it how often.
//   - A confirmation that is sent twice, because the first answer was lost, has the same Message-ID.
//   - [Money] is decimal and never a float, from the request to the database.
//   - A payment token is in no error, no log line and not in the shop's database. (It is part of the run's input, which the engine keeps.)
//   - An effect that happened, but whose result cannot be used, is not repeated: the step succeeds with an output of {error, error_code
//     RESULT_PROCESSING_FAILED, error_message, raw}, and the next step that needs it fails, permanently, by the name of what it lacks.
//
// # Limits
//
// Between validate_cart and update_inventory stock may be sold to others: then the card is charged and update_inventory fails, to be retried after
// restocking or refunded by hand; the failed run is listed. Prices are those of the moment of validation. A gateway forgets keys some day, often after 24
// hours; the look-up covers that only as long as it remembers charges. An e-mail is sent at least once. SQLite suits workers on one host;
// use PostgreSQL when there are several. Listings ([Shop.Orders], [Shop.Reservations], [Shop.Stock]) read everything and are for audits.
//
// # Database
//
// One schema and the same queries serve SQLite and PostgreSQL ([Open]): amounts in whole cents, times in UTC, effects guarded by unique keys
// of the run. Migrations are embedded and applied when the database is opened.
package checkout
