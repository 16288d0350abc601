package gatewaysim

import (
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strings"
)

// Outcomes of a call that are no failures.
const (
	outcomeCharged   = "charged"
	outcomeLostReply = "lost_reply" // charged, reply dropped
	outcomeHeld      = "held"
	outcomeReplayed  = "replayed"
)

// Codes of the failures that a token can cause.
const (
	codeInsufficientFunds  = "insufficient_funds"
	codeInvalidCard        = "invalid_card"
	codeGatewayTimeout     = "gateway_timeout"
	codeRateLimited        = "rate_limited"
	codeTemporaryFailure   = "temporary_failure"
	codeServiceUnavailable = "service_unavailable"
)

const (
	temporaryFailures = 2  // calls per key with test_temp_fail_…
	successPercent    = 95 // of calls with an unknown token
)

func isDecline(outcome string) bool {
	return outcome == codeInsufficientFunds || outcome == codeInvalidCard
}

func makesCharge(outcome string) bool {
	return outcome == outcomeCharged || outcome == outcomeLostReply
}

// outcome is what a call with this token comes to when earlier calls carried the same key and none got a final answer.
// It depends on nothing else, so neither a restart nor the order of other keys' calls changes it.
func outcome(token, key string, earlier int, seed uint64) string {
	for _, t := range []struct{ prefix, outcome string }{
		{"test_success_", outcomeCharged},
		{"test_insufficient_", codeInsufficientFunds},
		{"test_invalid_", codeInvalidCard},
		{"test_timeout_", codeGatewayTimeout},
		{"test_rate_limit_", codeRateLimited},
		{"test_lost_reply_", outcomeLostReply},
		{"test_hold_", outcomeHeld},
	} {
		if strings.HasPrefix(token, t.prefix) {
			return t.outcome
		}
	}
	if strings.HasPrefix(token, "test_temp_fail_") {
		if earlier < temporaryFailures {
			return codeTemporaryFailure
		}
		return outcomeCharged
	}
	return chance(key, earlier, seed)
}

func chance(key string, earlier int, seed uint64) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))                                        // a hash never fails to write
	r := rand.New(rand.NewPCG(seed+uint64(earlier)*0x9e37, h.Sum64())) //nolint:gosec // simulated luck, repeatable by design
	if r.IntN(100) < successPercent {
		return outcomeCharged
	}
	failures := []string{codeGatewayTimeout, codeRateLimited, codeTemporaryFailure, codeServiceUnavailable}
	return failures[r.IntN(len(failures))]
}

// failureOf is the reply for an outcome that is a failure; false for every other outcome.
func failureOf(outcome string) (failure, bool) {
	switch outcome {
	case codeInsufficientFunds:
		return failure{Status: http.StatusPaymentRequired, Type: typeCard, Code: outcome, Message: "Your card was declined. Your card's limit was exceeded."}, true
	case codeInvalidCard:
		return failure{Status: http.StatusPaymentRequired, Type: typeCard, Code: outcome, Message: "Your card number is incorrect."}, true
	case codeGatewayTimeout:
		return failure{Status: http.StatusGatewayTimeout, Type: typeAPI, Code: outcome, Message: "Payment gateway timed out after 30 seconds"}, true
	case codeRateLimited:
		return failure{Status: http.StatusTooManyRequests, Type: typeRateLimit, Code: outcome, Message: "Too many requests. Please try again in a moment."}, true
	case codeTemporaryFailure:
		return failure{Status: http.StatusBadGateway, Type: typeAPI, Code: outcome, Message: "Temporary payment processing error. Please try again."}, true
	case codeServiceUnavailable:
		return failure{Status: http.StatusServiceUnavailable, Type: typeAPI, Code: outcome, Message: "Payment service is unavailable. Please try again."}, true
	}
	return failure{}, false
}

// brandOf is the card brand that a token names, or empty.
func brandOf(token string) string {
	for _, brand := range []string{"visa", "mastercard", "amex"} {
		if strings.Contains(token, brand) {
			return brand
		}
	}
	return ""
}
