package agentv1

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestASumIsTheDifferenceOfItsEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		networks := rapid.IntRange(0, 2).Draw(t, "networks")
		first := content(t, networks)
		first.Hostname = "a"
		last := first
		var sum Sum
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			next := content(t, networks)
			next.Hostname = "a"
			change, ok := last.Difference(next)
			if !ok {
				t.Fatal("the heads differ")
			}
			sum.Add(change)
			last = next
		}
		want, _ := first.Difference(last)
		if got := sum.Change(); !reflect.DeepEqual(got, want) {
			t.Fatalf("sum:\n%+v\nwant:\n%+v", got, want)
		}
		back, err := last.Changed(sum.Change().Reversed())
		if err != nil || asJSON(back) != asJSON(first) {
			t.Fatalf("reversed (%v):\n%s\nwant:\n%s", err, asJSON(back), asJSON(first))
		}
	})
}
