package cli

import (
	"fmt"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// report is an error as people see it: refusals with the resources that they
// concern, and nothing that could command the terminal.
func report(err error) string {
	var b strings.Builder
	b.WriteString(err.Error())
	for _, refusal := range refusals(err) {
		if len(refusal.Resources) > 0 {
			fmt.Fprintf(&b, "\n  concerns %s", strings.Join(refusal.Resources, ", "))
		}
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// refusals are all of them in a tree of errors.
func refusals(err error) []*v1.Error {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case nil:
		return nil
	case *v1.Error:
		return []*v1.Error{e}
	case interface{ Unwrap() []error }:
		var all []*v1.Error
		for _, below := range e.Unwrap() {
			all = append(all, refusals(below)...)
		}
		return all
	case interface{ Unwrap() error }:
		return refusals(e.Unwrap())
	}
	return nil
}

// clean keeps what commands a terminal, or turns the direction of what is
// read, from reaching it: names are tenants' words.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if commands(r) {
			return '?'
		}
		return r
	}, s)
}

// commands reports control characters (C0, DEL, C1) and the overrides of
// direction (Unicode 9.0, bidirectional formatting).
func commands(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
