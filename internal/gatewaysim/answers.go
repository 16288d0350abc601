package gatewaysim

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Types of errors, as clients sort them.
const (
	typeAPI            = "api_error"
	typeAuthentication = "authentication_error"
	typeCard           = "card_error"
	typeIdempotency    = "idempotency_error"
	typeInvalid        = "invalid_request_error"
	typeRateLimit      = "rate_limit_error"
)

// failure is an error reply.
type failure struct {
	Status     int    `json:"-"`
	Type       string `json:"type"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	Param      string `json:"param,omitempty"`       // the field or header to mend
	RetryAfter int    `json:"retry_after,omitempty"` // seconds
}

func invalid(code, param, message string) *failure {
	return &failure{Status: http.StatusBadRequest, Type: typeInvalid, Code: code, Param: param, Message: message}
}

func keyReused(key string) *failure {
	return &failure{
		Status: http.StatusConflict, Type: typeIdempotency, Code: "idempotency_key_reused", Param: headerKey,
		Message: "The key " + key + " was used before with another body. Send the same body again, or use a new key.",
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // cannot happen with the types of this package
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client is gone: nobody to tell
}

func writeFailure(w http.ResponseWriter, f *failure) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	writeJSON(w, f.Status, map[string]*failure{"error": f})
}

type list[T any] struct {
	Data []T `json:"data"`
}

func writeList[T any](w http.ResponseWriter, items []T) {
	if items == nil {
		items = []T{}
	}
	writeJSON(w, http.StatusOK, list[T]{Data: items})
}
