package v1

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what every resource has, in characters.
const (
	MaxName        = 255
	MaxDescription = 2048
)

// ValidateName checks a resource's name: 1 to 255 characters of UTF-8, none of
// them a control character, no space around it. Code invalid-name.
func ValidateName(name string) error {
	n := utf8.RuneCountInString(name)
	switch {
	case n < 1 || n > MaxName:
		return Invalid("invalid-name", "a name has 1 to %d characters, this one has %d", MaxName, n)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return Invalid("invalid-name", "name %q holds control characters or is not UTF-8; use printable characters", name)
	case strings.TrimSpace(name) != name:
		return Invalid("invalid-name", "name %q begins or ends with a space; remove it", name)
	}
	return nil
}

// ValidateDescription checks a description: at most 2048 characters of UTF-8.
// Code invalid-description.
func ValidateDescription(text string) error {
	if n := utf8.RuneCountInString(text); n > MaxDescription {
		return Invalid("invalid-description", "a description has at most %d characters, this one has %d", MaxDescription, n)
	}
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !utf8.ValidString(text) || strings.ContainsFunc(text, control) {
		return Invalid("invalid-description", "the description holds control characters or is not UTF-8; use printable characters")
	}
	return nil
}

// ValidateUUID checks the form 8-4-4-4-12 of lower-case hex digits. Code
// invalid-uuid.
func ValidateUUID(s string) error {
	ok := len(s) == 36
	for i := 0; ok && i < len(s); i++ {
		switch i {
		case 8, 13, 18, 23:
			ok = s[i] == '-'
		default:
			ok = isDigit(s[i]) || s[i] >= 'a' && s[i] <= 'f'
		}
	}
	if !ok {
		return Invalid("invalid-uuid", "%q is not a lower-case UUID", s)
	}
	return nil
}

// ValidateHostname checks a guest's host name: one label of RFC 1123 section
// 2.1, 1 to 63 letters, digits and hyphens, no hyphen at its ends. Code
// invalid-hostname.
func ValidateHostname(s string) error {
	if !isLabel(s) {
		return Invalid("invalid-hostname", "host name %q is not 1 to 63 letters, digits and inner hyphens (RFC 1123)", s)
	}
	return nil
}

// ValidateDNSName checks a domain: labels of RFC 1123 joined by dots, 253
// characters at most, no dot at the end, the last label not all digits (such a
// name could be taken for an address). Code invalid-dns-name.
func ValidateDNSName(s string) error {
	labels := strings.Split(s, ".")
	last := labels[len(labels)-1]
	ok := len(s) <= 253 && strings.Trim(last, "0123456789") != ""
	for _, l := range labels {
		ok = ok && isLabel(l)
	}
	if !ok {
		return Invalid("invalid-dns-name", "domain %q is not made of labels of 1 to 63 letters, digits and inner hyphens (RFC 1123), as in guest.example", s)
	}
	return nil
}

// ValidateInterface checks the name of a physical interface: 1 to 15 bytes
// (IFNAMSIZ less its zero), letters, digits, dot, hyphen, underscore; no path
// and nothing a shell or libvirt could take for more. Code invalid-interface.
func ValidateInterface(s string) error {
	ok := len(s) >= 1 && len(s) <= 15 && s != "." && s != ".." && s[0] != '-'
	for i := 0; ok && i < len(s); i++ {
		ok = isAlnum(s[i]) || strings.IndexByte("._-", s[i]) >= 0
	}
	if !ok {
		return Invalid("invalid-interface", "%q is not the name of an interface: 1 to 15 letters, digits, dots, hyphens and underscores", s)
	}
	return nil
}

// ValidatePort checks a TCP or UDP port: 1 to 65535. Code invalid-port.
func ValidatePort(field string, port int) error {
	if port < 1 || port > 65535 {
		return Invalid("invalid-port", "%s %d is not between 1 and 65535", field, port)
	}
	return nil
}

func isLabel(s string) bool {
	if len(s) < 1 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isAlnum(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
