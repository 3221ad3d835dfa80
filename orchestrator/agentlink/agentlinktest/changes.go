package agentlinktest

import (
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
)

// Change is what leads from one spec to another of the same router.
func Change(t *testing.T, was, is agentv1.RouterSpec) agentv1.SpecChange {
	t.Helper()
	difference, ok := was.Content.Difference(is.Content)
	if !ok {
		t.Fatal("the contents differ in more than a change can say")
	}
	return agentv1.SpecChange{Version: is.Version, RouterUUID: is.RouterUUID, Generation: is.Generation, Fence: is.Fence,
		BaseHash: was.Hash, Hash: is.Hash, Change: difference}
}

func testChanges(t *testing.T, a pki.Authority, m Machine) {
	link := enrolled(t, a, m)
	ctx, uuid := deadline(t), m.Target.RouterUUID
	spec := func(generation uint64, n int) agentv1.RouterSpec { return Spec(uuid, generation, 100, m.Content(n)) }
	refuse := func(name, code string, c agentv1.SpecChange) {
		t.Helper()
		if _, err := link.PushChange(ctx, m.Target, c); !agentlink.IsRefused(err, code) {
			t.Errorf("%s: got %v, want %s", name, err, code)
		}
	}
	reach := func(name string, c agentv1.SpecChange, want agentv1.RouterSpec) {
		t.Helper()
		s, err := link.PushChange(ctx, m.Target, c)
		if err != nil || s.AcceptedHash != want.Hash || s.AppliedGeneration != want.Generation || s.AppliedHash != want.Hash {
			t.Fatalf("%s: %+v, %v", name, s, err)
		}
		got, err := link.Spec(ctx, m.Target)
		if err != nil || got.Hash != want.Hash || got.Content.Hash() != want.Hash || got.Generation != want.Generation {
			t.Fatalf("%s: the spec is %+v, %v", name, got, err)
		}
	}
	first, second, third := spec(5, 2), spec(6, 40), spec(7, 3)
	refuse("of nothing", agentv1.CodeOtherBase, Change(t, first, second))
	push(t, link, m, first)
	reach("more", Change(t, first, second), second)
	reach("again", Change(t, first, second), second)
	refuse("of what was before", agentv1.CodeOtherBase, Change(t, first, third))
	refuse("older", agentv1.CodeOlderGeneration, Change(t, second, first))
	conflicting := Change(t, second, third)
	conflicting.Generation = 6
	refuse("same generation", agentv1.CodeConflictingContent, conflicting)
	lower, stranger, wrong := Change(t, second, third), Change(t, second, third), Change(t, second, third)
	lower.Fence, stranger.RouterUUID, wrong.Hash = 99, "0190ffff-0000-7000-8000-00000000ffff", first.Hash
	refuse("lower fence", agentv1.CodeLowerFence, lower)
	refuse("other router", agentv1.CodeWrongRouter, stranger)
	refuse("wrong hash", agentv1.CodeInvalidSpec, wrong)
	m.Restart(t)
	if err := link.WaitReachable(ctx, m.Target); err != nil {
		t.Fatal(err)
	}
	reach("less, after a restart", Change(t, second, third), third)
	push(t, link, m, spec(8, 2)) // the whole goes on as well
}
