package checkout

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/tasks"
)

// rateLimitPause is for a gateway that says "too many requests" and not when to come again.
const rateLimitPause = 30 * time.Second

// gatewayError is the gateway's {error: …}.
type gatewayError struct {
	Type       string `json:"type"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	RetryAfter int    `json:"retry_after"` // seconds
}

var codePattern = regexp.MustCompile(`^[A-Za-z0-9_]{1,60}$`)

// refusal sorts an answer that is no charge: a final no of the gateway, a mistake of ours that trying again cannot mend, or anything else, which is
// tried again, later if the gateway said when. pause is what the Retry-After header said.
func refusal(e gatewayError, pause time.Duration) error {
	code, err := strings.ToUpper(e.Code), errors.New(e.Message)
	switch e.Code {
	case "insufficient_funds", "invalid_card", "card_declined":
		return tasks.Refused("PAYMENT_DECLINED", fmt.Errorf("Payment declined: %s", e.Message))
	case "rate_limited":
		if pause == 0 {
			pause = rateLimitPause
		}
	case "gateway_timeout", "temporary_failure", "service_unavailable", "network":
	default:
		switch e.Type {
		case "authentication_error", "invalid_request_error", "idempotency_error":
			return tasks.Permanent(code, err)
		}
	}
	if pause > 0 {
		return tasks.RetryAfter(tasks.Retryable(code, err), pause)
	}
	return tasks.Retryable(code, err)
}

// parseRefusal reads the body, or makes do with the status when something else than the gateway answered. Should the message repeat the token, it
// is taken out.
func parseRefusal(status int, body []byte, token Token) gatewayError {
	var answer struct {
		Error gatewayError `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || !codePattern.MatchString(answer.Error.Code) {
		answer.Error = gatewayError{Code: codeOfStatus(status), Message: answer.Error.Message}
		if status == http.StatusUnauthorized || status == http.StatusForbidden {
			answer.Error.Type = "authentication_error"
		}
	}
	if answer.Error.Message == "" {
		answer.Error.Message = fmt.Sprintf("the payment gateway answered %d %s", status, http.StatusText(status))
	}
	if token != "" {
		answer.Error.Message = strings.ReplaceAll(answer.Error.Message, string(token), redacted)
	}
	return answer.Error
}

func codeOfStatus(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "authentication_failed"
	case http.StatusTooManyRequests:
		return "rate_limited"
	case http.StatusServiceUnavailable:
		return "service_unavailable"
	case http.StatusGatewayTimeout:
		return "gateway_timeout"
	}
	return "payment_error"
}

// retryAfter reads a Retry-After header, seconds or a date; 0 when it says nothing.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(max(0, min(seconds, 24*60*60))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
