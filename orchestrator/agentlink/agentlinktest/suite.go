package agentlinktest

import (
	"context"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
)

// Machine is a booted, not yet enrolled router under test.
type Machine struct {
	Target agentlink.Target
	// Dial reaches it.
	Dial agentlink.Dial
	// Content gives valid contents that differ with n; the larger n, the
	// larger the content.
	Content func(n int) agentv1.Content
	// Restart kills the agent without warning and starts it again.
	Restart func(t *testing.T)
}

// Suite is what every agent does, fake and real. boot gives a fresh machine
// whose bootstrap trusts the authority.
func Suite(t *testing.T, a pki.Authority, boot func(t *testing.T) Machine) {
	t.Run("Enrolment", func(t *testing.T) { testEnrolment(t, a, boot(t)) })
	t.Run("WrongToken", func(t *testing.T) { testWrongToken(t, a, boot(t)) })
	t.Run("Foreigners", func(t *testing.T) { testForeigners(t, a, boot(t)) })
	t.Run("InBetween", func(t *testing.T) { testInBetween(t, a, boot(t)) })
	t.Run("Refusals", func(t *testing.T) { testRefusals(t, a, boot(t)) })
	t.Run("Changes", func(t *testing.T) { testChanges(t, a, boot(t)) })
	t.Run("Restart", func(t *testing.T) { testRestart(t, a, boot(t)) })
	t.Run("Renewal", func(t *testing.T) { testRenewal(t, a, boot(t)) })
}

// Spec wraps a content for a router.
func Spec(router string, generation uint64, fence int64, c agentv1.Content) agentv1.RouterSpec {
	return agentv1.RouterSpec{
		Version: agentv1.SpecVersion, RouterUUID: router, Generation: generation,
		Hash: c.Hash(), Fence: fence, Content: c,
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func enrolled(t *testing.T, a pki.Authority, m Machine) *agentlink.Link {
	t.Helper()
	link := agentlink.NewOver(a, m.Dial)
	t.Cleanup(link.Close)
	if err := link.WaitReachable(deadline(t), m.Target); err != nil {
		t.Fatal(err)
	}
	if err := link.Enrol(deadline(t), m.Target); err != nil {
		t.Fatal(err)
	}
	return link
}

func push(t *testing.T, link *agentlink.Link, m Machine, s agentv1.RouterSpec) agentv1.RouterStatus {
	t.Helper()
	status, err := link.PushSpec(deadline(t), m.Target, s)
	if err != nil {
		t.Fatal(err)
	}
	if status.AppliedGeneration != s.Generation || status.AppliedHash != s.Hash {
		t.Fatalf("generation %d not reached: %+v", s.Generation, status)
	}
	return status
}

func testEnrolment(t *testing.T, a pki.Authority, m Machine) {
	ctx := deadline(t)
	link := agentlink.NewOver(a, m.Dial)
	defer link.Close()
	if err := link.WaitReachable(ctx, m.Target); err != nil {
		t.Fatal(err)
	}
	if _, err := link.Status(ctx, m.Target); !agentlink.IsNotEnrolled(err) {
		t.Fatalf("status before enrolment: %v", err)
	}
	if err := link.Enrol(ctx, m.Target); err != nil {
		t.Fatal(err)
	}
	status, err := link.Status(ctx, m.Target)
	if err != nil || status.RouterUUID != m.Target.RouterUUID || status.BootID == "" || status.AcceptedGeneration != 0 {
		t.Fatalf("status after enrolment: %+v, %v", status, err)
	}
	if _, err := link.Spec(ctx, m.Target); !agentlink.IsRefused(err, agentv1.CodeNotFound) {
		t.Fatalf("spec of a new router: %v", err)
	}
	if err := link.Enrol(ctx, m.Target); err != nil {
		t.Fatalf("enrolling twice: %v", err)
	}
	var pong agentv1.PingResult
	if err := link.Command(ctx, m.Target, agentv1.CommandPing, "key-1", nil, &pong); err != nil || pong.Now.IsZero() {
		t.Fatalf("ping: %+v, %v", pong, err)
	}
	if err := link.Command(ctx, m.Target, "run-shell", "", nil, nil); !agentlink.IsRefused(err, agentv1.CodeNotFound) {
		t.Fatalf("unknown command: %v", err)
	}
}

func testWrongToken(t *testing.T, a pki.Authority, m Machine) {
	ctx := deadline(t)
	link := agentlink.NewOver(a, m.Dial)
	defer link.Close()
	if err := link.WaitReachable(ctx, m.Target); err != nil {
		t.Fatal(err)
	}
	wrong := m.Target
	wrong.JoinToken = "c29tZWJvZHkgZWxzZSdzIHRva2Vu"
	if err := link.Enrol(ctx, wrong); !agentlink.IsWrongPeer(err) || agentlink.IsUnreachable(err) {
		t.Fatalf("wrong token: %v", err)
	}
	other := m.Target
	other.RouterUUID = "0190ffff-0000-7000-8000-00000000ffff"
	if err := link.Enrol(ctx, other); !agentlink.IsWrongPeer(err) {
		t.Fatalf("other router: %v", err)
	}
	if _, err := link.Status(ctx, m.Target); !agentlink.IsNotEnrolled(err) {
		t.Fatalf("a failed enrolment left something: %v", err)
	}
}

func testRefusals(t *testing.T, a pki.Authority, m Machine) {
	link := enrolled(t, a, m)
	ctx, uuid := deadline(t), m.Target.RouterUUID
	first := Spec(uuid, 5, 100, m.Content(1))
	push(t, link, m, first)
	push(t, link, m, first) // again
	refuse := func(name, code string, s agentv1.RouterSpec) {
		t.Helper()
		_, err := link.PushSpec(ctx, m.Target, s)
		if !agentlink.IsRefused(err, code) {
			t.Errorf("%s: got %v, want %s", name, err, code)
		}
	}
	wrongHash := Spec(uuid, 6, 100, m.Content(2))
	wrongHash.Hash = first.Hash
	future := Spec(uuid, 6, 100, m.Content(2))
	future.Version = agentv1.SpecVersion + 1
	refuse("wrong hash", agentv1.CodeInvalidSpec, wrongHash)
	refuse("other router", agentv1.CodeWrongRouter, Spec("0190ffff-0000-7000-8000-00000000ffff", 6, 100, m.Content(2)))
	refuse("newer layout", agentv1.CodeUnsupportedVersion, future)
	refuse("older", agentv1.CodeOlderGeneration, Spec(uuid, 4, 100, m.Content(2)))
	refuse("other content", agentv1.CodeConflictingContent, Spec(uuid, 5, 100, m.Content(2)))
	refuse("lower fence", agentv1.CodeLowerFence, Spec(uuid, 6, 99, m.Content(2)))
	got, err := link.Spec(ctx, m.Target)
	if err != nil || got.Hash != first.Hash || got.Content.Hash() != first.Hash {
		t.Fatalf("refusals changed the spec: %+v, %v", got, err)
	}
	push(t, link, m, Spec(uuid, 7, 101, m.Content(300))) // large: compressed on the way
	refuse("lower fence than the last", agentv1.CodeLowerFence, Spec(uuid, 8, 100, m.Content(2)))
}

func testRestart(t *testing.T, a pki.Authority, m Machine) {
	link := enrolled(t, a, m)
	spec := Spec(m.Target.RouterUUID, 3, 10, m.Content(2))
	before := push(t, link, m, spec)
	m.Restart(t)
	ctx := deadline(t)
	if err := link.WaitReachable(ctx, m.Target); err != nil {
		t.Fatal(err)
	}
	// No new enrolment: the kept connection is dead, the call goes through.
	after, err := link.Status(ctx, m.Target)
	if err != nil {
		t.Fatal(err)
	}
	if after.AcceptedGeneration != 3 || after.AppliedHash != spec.Hash || after.BootID != before.BootID {
		t.Fatalf("after a restart: %+v, before %+v", after, before)
	}
	brief, err := link.Brief(ctx, m.Target)
	if err != nil || brief.AppliedHash != spec.Hash || len(brief.Interfaces)+len(brief.Leases) > 0 {
		t.Fatalf("in brief: %+v, %v", brief, err)
	}
	if _, err := link.PushSpec(ctx, m.Target, Spec(m.Target.RouterUUID, 4, 9, m.Content(3))); !agentlink.IsRefused(err, agentv1.CodeLowerFence) {
		t.Fatalf("the fence was forgotten: %v", err)
	}
	got, err := link.Spec(ctx, m.Target)
	if err != nil || !reflect.DeepEqual(got, spec) {
		t.Fatalf("spec after restart: %+v, %v", got, err)
	}
}

func testRenewal(t *testing.T, a pki.Authority, m Machine) {
	link := enrolled(t, a, m)
	before := peerKey(t, a, m)
	if err := link.Renew(deadline(t), m.Target); err != nil {
		t.Fatal(err)
	}
	if after := peerKey(t, a, m); after == before {
		t.Fatal("the key is still the old one")
	}
	if _, err := link.Status(deadline(t), m.Target); err != nil {
		t.Fatal(err)
	}
}

// Booted is a Machine on a network of fakes.
func (n *Network) Booted(b agentv1.Bootstrap) (Machine, error) {
	fake, err := n.Boot(b)
	if err != nil {
		return Machine{}, err
	}
	return Machine{
		Target: agentlink.Target{RouterUUID: b.RouterUUID, Addr: b.Listen, JoinToken: b.JoinToken},
		Dial:   n.Dial,
		Content: func(n int) agentv1.Content {
			c := agentv1.Content{Hostname: "r", Interfaces: b.Interfaces}
			for i := range n {
				c.EIPs = append(c.EIPs, agentv1.EIP{Order: int64(i), VIP: netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})})
			}
			return c
		},
		Restart: func(t *testing.T) {
			if err := fake.Restart(); err != nil {
				t.Fatal(err)
			}
		},
	}, nil
}
