package config

import (
	"log/slog"
	"regexp"
	"strings"
)

// Secret is a URL that may hold a password. It prints and marshals with the password hidden;
// string(s) is the whole of it.
type Secret string

var (
	sqliteURL  = regexp.MustCompile(`^sqlite:`)
	secretPart = regexp.MustCompile(`(?i)([?&][^=&]*pass[^=&]*=)[^&]*`)
)

// String is the URL with "xxxxx" for the password. A text that is no URL might be all password, and
// is hidden as a whole.
func (s Secret) String() string {
	text := string(s)
	if text == "" || sqliteURL.MatchString(text) {
		return text
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return "(hidden)"
	}
	// A password that should have been percent-encoded may hold any character, an @ or / included.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, _, hasPassword := strings.Cut(rest[:at], ":")
		if hasPassword {
			user += ":xxxxx"
		}
		rest = user + rest[at:]
	}
	return scheme + "://" + secretPart.ReplaceAllString(rest, "${1}xxxxx")
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue is String, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, for encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
