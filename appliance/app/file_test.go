package app

import (
	"strings"
	"testing"
)

// TestRouterOf: the router is known from a file that is read no further, also
// where the rest is broken, and unknown where it is not said.
func TestRouterOf(t *testing.T) {
	for spec, want := range map[string]string{
		`{"version":1,"routerUuid":"r1","content":{`:           "r1",
		`{"content":{"routerUuid":"inner"},"routerUuid":"r2"}`: "r2",
		`{"content":{}}`:   "",
		`{"routerUuid":7}`: "",
		`["routerUuid"]`:   "",
		`{"content":{,}}`:  "",
		`{"routerUuid":`:   "",
		``:                 "",
	} {
		if got := routerOf(strings.NewReader(spec)); got != want {
			t.Errorf("%s: router %q, want %q", spec, got, want)
		}
	}
}
