package dag

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// The grammar of Semantic Versioning 2.0.0: core, pre-release, build.
var versionPattern = regexp.MustCompile(`^((?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*))` +
	`(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?` +
	`(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`)

// CompareVersions orders versions by the precedence of Semantic Versioning 2.0.0: -1 when a is lower than b, +1 when higher, 0 when
// neither; build metadata does not count. Text that is no version comes before all versions.
func CompareVersions(a, b string) int {
	va, vb := versionPattern.FindStringSubmatch(a), versionPattern.FindStringSubmatch(b)
	switch {
	case va == nil && vb == nil:
		return strings.Compare(a, b)
	case va == nil:
		return -1
	case vb == nil:
		return 1
	}
	if c := compareIdentifiers(va[1], vb[1]); c != 0 {
		return c
	}
	switch pa, pb := va[2], vb[2]; {
	case pa == pb:
		return 0
	case pa == "":
		return 1
	case pb == "":
		return -1
	default:
		return compareIdentifiers(pa, pb)
	}
}

// IsPrerelease tells whether v is a version with a pre-release part, for example 1.0.0-rc.1. Such a version is used only when it is
// named.
func IsPrerelease(v string) bool {
	m := versionPattern.FindStringSubmatch(v)
	return m != nil && m[2] != ""
}

func versionProblem(v string) string {
	switch {
	case v == "":
		return "it is required, for example 1.0.0"
	case len(v) > MaxVersionBytes:
		return fmt.Sprintf("it has %d bytes, more than the limit of %d", len(v), MaxVersionBytes)
	case !versionPattern.MatchString(v):
		return quote(v) + " is not a semantic version; write three numbers, for example 1.0.0 or 1.1.0-rc.1"
	}
	return ""
}

// compareIdentifiers compares lists with dots between: numbers by value and before words, a shorter list before a longer one.
func compareIdentifiers(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if c := compareIdentifier(x, y); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func compareIdentifier(x, y string) int {
	nx, ny := isNumber(x), isNumber(y)
	switch {
	case nx && ny: // no leading zeros, so that more digits are a higher number, however long
		return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y))
	case nx:
		return -1
	case ny:
		return 1
	}
	return strings.Compare(x, y)
}

func isNumber(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}
