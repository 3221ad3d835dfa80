package v1

import (
	"slices"
	"strconv"
	"strings"
)

// The patterns of system tags: the part before the first "::".
const (
	TagGuestL3Network            = "guestL3Network"
	TagVirtualRouterOffering     = "virtualRouterOffering"
	TagStaticIP                  = "staticIp"
	TagCustomMAC                 = "customMac"
	TagHostname                  = "hostname"
	TagCleanTraffic              = "cleanTraffic"
	TagDedicatedHost             = "dedicatedHost"
	TagCommandsParallelismDegree = "commandsParallelismDegree"
	TagDisabledService           = "disabledService"
)

// MaxParallelism is the highest commandsParallelismDegree, and the one without
// a tag.
const MaxParallelism = 100

// tagArgs checks the arguments of each pattern, one check an argument.
var tagArgs = map[string][]func(string) error{
	TagGuestL3Network:            {ValidateUUID},
	TagVirtualRouterOffering:     {ValidateUUID},
	TagStaticIP:                  {ValidateUUID, func(s string) error { _, err := ParseIPv4("staticIp", s); return err }},
	TagCustomMAC:                 {ValidateUUID, func(s string) error { _, err := ParseMAC(s); return err }},
	TagHostname:                  {ValidateHostname},
	TagCleanTraffic:              {},
	TagDedicatedHost:             {ValidateUUID},
	TagCommandsParallelismDegree: {validateDegree},
	TagDisabledService:           {validateDisabledService},
}

// Tag is a system tag taken apart.
type Tag struct {
	// Pattern is one of the Tag constants.
	Pattern string
	// Args are the parts after it.
	Args []string
}

// ParseTag takes a system tag apart and checks its arguments. Codes
// unknown-tag, invalid-tag.
func ParseTag(s string) (Tag, error) {
	pattern, rest, some := strings.Cut(s, "::")
	checks, known := tagArgs[pattern]
	if !known {
		return Tag{}, Invalid("unknown-tag", "system tag %q follows no known pattern; known are %s", s, strings.Join(TagPatterns(), ", "))
	}
	var args []string
	if some {
		// A MAC holds single colons only, so the arguments part cleanly.
		args = strings.Split(rest, "::")
	}
	if len(args) != len(checks) {
		return Tag{}, Invalid("invalid-tag", "system tag %q has %d arguments, %s takes %d", s, len(args), pattern, len(checks))
	}
	for i, check := range checks {
		if err := check(args[i]); err != nil {
			return Tag{}, Invalid("invalid-tag", "system tag %q: %v", s, err).Because(err)
		}
	}
	return Tag{Pattern: pattern, Args: args}, nil
}

// TagPatterns are the known patterns, sorted.
func TagPatterns() []string {
	var all []string
	for p := range tagArgs {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// TagValues are the arguments of the tags of one pattern among tags that were
// checked before, in order; tags that do not parse are passed over.
func TagValues(tags []string, pattern string) [][]string {
	var all [][]string
	for _, s := range tags {
		if t, err := ParseTag(s); err == nil && t.Pattern == pattern {
			all = append(all, t.Args)
		}
	}
	return all
}

func validateDegree(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 || n > MaxParallelism || strconv.Itoa(n) != s {
		return Invalid("invalid-tag", "%q is not a number from 1 to %d", s, MaxParallelism)
	}
	return nil
}

func validateDisabledService(s string) error {
	if s != SNAT {
		return Invalid("invalid-tag", "service %q cannot be disabled; only %s can", s, SNAT)
	}
	return nil
}
