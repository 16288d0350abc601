package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Error is everything that is wrong with one definition file. It unwraps to [dag.ErrInvalid].
type Error struct {
	File     string
	Problems []Problem // in the order of the file, at least one
}

// Problem is one thing that is wrong with a definition file.
type Problem struct {
	Line, Column int    // from 1; columns count characters
	Message      string // what is wrong and how to mend it
	Excerpt      string // the line, the one before it and a caret under the column
}

func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d:%d: %s", e.File, p.Line, p.Column, p.Message)
		if p.Excerpt != "" {
			b.WriteString("\n" + p.Excerpt)
		}
	}
	return b.String()
}

func (e *Error) Unwrap() error { return dag.ErrInvalid }

// maxProblems bounds the report on one file.
const maxProblems = 50

func newError(file string, problems []Problem) *Error {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	problems = slices.CompactFunc(problems, func(a, b Problem) bool { return a == b })
	if n := len(problems) - maxProblems; n > 0 {
		problems = problems[:maxProblems]
		last := problems[maxProblems-1]
		problems = append(problems, Problem{Line: last.Line, Column: last.Column, Message: fmt.Sprintf("and %d more problems after this one", n)})
	}
	return &Error{File: file, Problems: problems}
}

// maxExcerpt bounds the characters of a line in an excerpt.
const maxExcerpt = 120

// excerpt shows a line of the source with a caret under its column.
func excerpt(lines []string, line, column int) string {
	if line < 1 || line > len(lines) {
		return ""
	}
	var b strings.Builder
	width := len(strconv.Itoa(line))
	if line > 1 {
		fmt.Fprintf(&b, "  %*d | %s\n", width, line-1, clip(lines[line-2]))
	}
	fmt.Fprintf(&b, "  %*d | %s", width, line, clip(lines[line-1]))
	if column <= maxExcerpt {
		b.WriteString("\n  " + strings.Repeat(" ", width) + " | " + indentTo(lines[line-1], column) + "^")
	}
	return b.String()
}

// indentTo is white space as wide as what comes before the column.
func indentTo(line string, column int) string {
	var b strings.Builder
	for _, r := range line {
		if column--; column < 1 {
			return b.String()
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	b.WriteString(strings.Repeat(" ", max(column-1, 0)))
	return b.String()
}

func clip(line string) string {
	clean := strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f) {
			return '?'
		}
		return r
	}, line)
	if runes := []rune(clean); len(runes) > maxExcerpt {
		return string(runes[:maxExcerpt]) + "…"
	}
	return clean
}
