package dag

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckName tells whether s may name a namespace, workflow, step, profile or queue: [a-z][a-z0-9_-]{0,62}. Kind is what the error,
// which wraps [ErrInvalid], calls it, for example "step name".
func CheckName(kind, s string) error { return named(kind, s, nameProblem(s)) }

// CheckHandler tells whether s may name a handler: [a-z0-9_.-]{1,128}. The error wraps [ErrInvalid].
func CheckHandler(s string) error { return named("handler name", s, handlerProblem(s)) }

// CheckKey tells whether s may be an idempotency key: 1 to [MaxKeyBytes] printable ASCII characters. The error wraps [ErrInvalid].
func CheckKey(s string) error {
	const kind = "idempotency key"
	switch i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }); {
	case s == "":
		return named(kind, s, "it must have 1 to "+strconv.Itoa(MaxKeyBytes)+" characters")
	case len(s) > MaxKeyBytes:
		return named(kind, s, fmt.Sprintf("it has %d bytes, more than the limit of %d", len(s), MaxKeyBytes))
	case i >= 0:
		return named(kind, s, fmt.Sprintf("byte %d is not a printable ASCII character", i+1))
	}
	return nil
}

// CheckLabels tells whether a run may carry these labels: at most [MaxLabels], names of 1 to [MaxLabelNameBytes] letters, digits and
// _ . / -, values of at most [MaxLabelBytes] bytes of UTF-8 without control characters. The error joins one [FieldError] for each problem.
func CheckLabels(labels map[string]string) error {
	var errs []error
	if len(labels) > MaxLabels {
		errs = append(errs, &FieldError{"labels", fmt.Sprintf("there are %d, more than the limit of %d", len(labels), MaxLabels)})
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if p := labelNameProblem(name); p != "" {
			errs = append(errs, &FieldError{"labels[" + quote(name) + "]", p})
			continue
		}
		if p := labelProblem(labels[name]); p != "" {
			errs = append(errs, &FieldError{"labels." + name, p})
		}
	}
	return errors.Join(errs...)
}

func named(kind, s, problem string) error {
	if problem == "" {
		return nil
	}
	return fmt.Errorf("%w %s %s: %s", ErrInvalid, kind, quote(s), problem)
}

// quote makes a value from outside fit for one line of an error.
func quote(s string) string {
	const limit = 80
	if len(s) > limit {
		return strconv.QuoteToASCII(s[:limit]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

func nameProblem(s string) string {
	switch {
	case s == "":
		return "it is required"
	case len(s) > MaxNameBytes:
		return fmt.Sprintf("it has %d bytes, more than the limit of %d", len(s), MaxNameBytes)
	case s[0] < 'a' || s[0] > 'z' || strings.ContainsFunc(s, func(r rune) bool { return !isWord(r) && r != '-' }):
		return "use lower-case letters, digits, _ and -, and begin with a letter"
	}
	return ""
}

func handlerProblem(s string) string {
	switch {
	case s == "":
		return "it is required"
	case len(s) > MaxHandlerBytes:
		return fmt.Sprintf("it has %d bytes, more than the limit of %d", len(s), MaxHandlerBytes)
	case strings.ContainsFunc(s, func(r rune) bool { return !isWord(r) && r != '-' && r != '.' }):
		return "use lower-case letters, digits, _ . and -"
	}
	return ""
}

func labelNameProblem(s string) string {
	switch {
	case s == "" || len(s) > MaxLabelNameBytes:
		return fmt.Sprintf("a label's name has 1 to %d bytes", MaxLabelNameBytes)
	case strings.ContainsFunc(s, func(r rune) bool { return !isWord(r) && (r < 'A' || r > 'Z') && !strings.ContainsRune("./-", r) }):
		return "use letters, digits and _ . / - in a label's name"
	}
	return ""
}

func labelProblem(s string) string {
	switch {
	case len(s) > MaxLabelBytes:
		return fmt.Sprintf("its value has %d bytes, more than the limit of %d", len(s), MaxLabelBytes)
	case !utf8.ValidString(s):
		return "its value is not UTF-8"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "its value has a control character"
	}
	return ""
}

func textProblem(s string) string {
	switch {
	case len(s) > MaxSourceBytes:
		return fmt.Sprintf("it has %d bytes, more than the limit of %d", len(s), MaxSourceBytes)
	case !utf8.ValidString(s):
		return "it is not UTF-8"
	}
	return ""
}

func isWord(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' }

// Nearest returns the candidate that s is most likely a misspelling of, or "". The earliest wins among equals. Error texts propose it.
func Nearest(s string, candidates []string) string {
	best, limit := "", min(len(s)/3+1, len(s)-1)
	for _, c := range candidates {
		if len(c)-len(s) > limit || len(s)-len(c) > limit {
			continue
		}
		if d := editDistance(s, c); d <= limit && c != "" {
			best, limit = c, d-1
		}
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
