#!/usr/bin/env bash
# Place an order over REST with curl, follow it to its end, and see what the API says to a bad one.
#
#   STEPWELL_URL=http://127.0.0.1:8080 examples/rest/place_order.sh [idempotency key]
#
# Needs curl 7.76 or newer. Run it twice with one key: it is the same order, charged once.
set -euo pipefail

# region: place
url=${STEPWELL_URL:-http://127.0.0.1:8080}
key=${1:-order-$(date +%s)-$$}
order='{
	"cart_items": [{"product_id": 1, "quantity": 2}, {"product_id": 3, "quantity": 1}],
	"payment_info": {"method": "credit_card", "amount": 324.56, "currency": "USD", "token": "test_success_visa_4242424242424242"},
	"customer_info": {"email": "ada@example.com", "name": "Ada Lovelace"}
}'
# The key is yours to choose, the number of the cart for example. Whatever happens, send the same body with the same key again.
placed=$(curl -sS --fail-with-body "$url/v1/orders" -H 'Content-Type: application/json' -H "Idempotency-Key: $key" -d "$order")
run=$(sed -nE 's/.*"run_id": *"([^"]+)".*/\1/p' <<<"$placed")
# endregion
echo "order $key is run $run"

# region: follow
state=$(curl -sS --fail-with-body "$url/v1/orders/$run")
while [[ $state =~ \"status\":\ *\"processing\" ]]; do
	sleep 0.5
	state=$(curl -sS --fail-with-body "$url/v1/orders/$run")
done
echo "$state"
# endregion
[[ $state =~ \"status\":\ *\"completed\" ]] || exit 1

echo 'the same key again, by the general way in:'
# region: run
# /v1/runs starts any workflow. Here key and input are those of the order above, so it is the same run: HTTP 200 instead of 202.
curl -sS --fail-with-body "$url/v1/runs" -o /dev/null -w 'HTTP %{http_code}\n' \
	-H 'Content-Type: application/json' -H "Idempotency-Key: $key" -d "{\"workflow\": \"ecommerce/process_order\", \"input\": $order}"
# endregion

echo 'a bad order:'
# region: bad
# Errors are application/problem+json: a stable code, and a pointer to each field that is wrong.
curl -sS "$url/v1/orders" -w '\n(HTTP %{http_code})\n' \
	-H 'Content-Type: application/json' -H "Idempotency-Key: $key-bad" -d '{
	"cart_items": [{"product_id": 1, "quantity": 0}],
	"payment_info": {"method": "shells", "amount": 1, "currency": "USD"},
	"customer_info": {"email": "ada@example.com", "name": "Ada Lovelace"}
}'
# endregion
