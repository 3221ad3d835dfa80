package model

import (
	"testing"

	"pgregory.net/rapid"
)

// RandomWalk takes random steps through the model, and calls after each that
// was not refused with the views before and after it, and what it wrote.
func RandomWalk(t testing.TB, r *rapid.T, step func(name string, before *View, tx *Tx)) {
	w := &walker{world: newWorld(t), r: r, refusals: map[string]int{}}
	w.settle()
	for range rapid.IntRange(50, 400).Draw(r, "steps") {
		before, name := w.tx.View, rapid.SampledFrom(stepNames).Draw(r, "step")
		w.tx = NewTx(before, w.tx.Now)
		if err := steps[name](w); err == nil {
			step(name, before, w.tx)
		}
	}
}
