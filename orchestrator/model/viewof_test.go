package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// A view made of all resources at once, in any order, lists what one does that
// changes led to.
func TestViewOf(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		steps := 0
		RandomWalk(t, r, func(name string, _ *View, tx *Tx) {
			if steps++; steps%20 != 0 {
				return
			}
			var all []v1.Resource
			for _, kind := range Kinds() {
				all = slices.AppendSeq(all, tx.All(kind, ""))
			}
			rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			if got, want := listed(ViewOf(all)), listed(tx.View); !slices.Equal(got, want) {
				r.Fatalf("after %s: %v, want %v", name, got, want)
			}
		})
	})
}

// listed is all that a view's tables and indexes list, in their order.
func listed(v *View) (all []string) {
	for _, kind := range Kinds() {
		for r := range v.All(kind, "") {
			all = append(all, fmt.Sprintf("%s %p", kind, r))
		}
	}
	for i, links := range v.links {
		for l := range links.From(link{}) {
			all = append(all, fmt.Sprintf("%d %s %p", i, l.key, l.resource))
		}
	}
	for h := range v.addresses.From(holding{}) {
		all = append(all, fmt.Sprintf("%s %s %p", h.l3, h.ip, h.owner))
	}
	return all
}
