package agentlink_test

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink/agentlinktest"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
)

const router = "0190aaaa-0000-7000-8000-000000000001"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func authority(t *testing.T) pki.Authority {
	t.Helper()
	a, err := pki.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func drive(a pki.Authority, last byte) agentv1.Bootstrap {
	return agentv1.Bootstrap{
		Version: 1, RouterUUID: router, JoinToken: "token", OrchestratorCA: a.OrchestratorTrust(),
		Listen: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, last}), agentv1.AgentPort),
	}
}

func boot(t *testing.T, a pki.Authority) (*agentlinktest.Network, agentlinktest.Machine) {
	t.Helper()
	n := agentlinktest.NewNetwork()
	t.Cleanup(n.Close)
	m, err := n.Booted(drive(a, 1))
	if err != nil {
		t.Fatal(err)
	}
	return n, m
}

func TestFakeAgent(t *testing.T) {
	a := authority(t)
	agentlinktest.Suite(t, a, func(t *testing.T) agentlinktest.Machine {
		_, m := boot(t, a)
		return m
	})
}

func enrolled(t *testing.T, a pki.Authority, m agentlinktest.Machine, dial agentlink.Dial) *agentlink.Link {
	t.Helper()
	link := agentlink.NewOver(a, dial)
	t.Cleanup(link.Close)
	if err := link.Enrol(t.Context(), m.Target); err != nil {
		t.Fatal(err)
	}
	return link
}

func TestConnectionIsKept(t *testing.T) {
	a := authority(t)
	_, m := boot(t, a)
	var dials atomic.Int32
	link := enrolled(t, a, m, func(ctx context.Context, to netip.AddrPort, d time.Duration) (net.Conn, error) {
		dials.Add(1)
		return m.Dial(ctx, to, d)
	})
	dials.Store(0)
	for gen := range uint64(20) {
		if _, err := link.PushSpec(t.Context(), m.Target, agentlinktest.Spec(router, gen+1, 1, m.Content(int(gen)))); err != nil {
			t.Fatal(err)
		}
	}
	if n := dials.Load(); n != 1 {
		t.Fatalf("20 pushes took %d connections", n)
	}
}

func TestARebootedRouterIsNotEnrolled(t *testing.T) {
	a := authority(t)
	n, m := boot(t, a)
	link := enrolled(t, a, m, m.Dial)
	if _, err := link.Status(t.Context(), m.Target); err != nil {
		t.Fatal(err)
	}
	if err := n.Agent(m.Target.Addr).Reboot(); err != nil {
		t.Fatal(err)
	}
	_, err := link.PushSpec(t.Context(), m.Target, agentlinktest.Spec(router, 1, 1, m.Content(1)))
	if !agentlink.IsNotEnrolled(err) || agentlink.IsUnreachable(err) {
		t.Fatalf("got %v", err)
	}
	if err := link.Enrol(t.Context(), m.Target); err != nil {
		t.Fatal(err)
	}
	if _, err := link.PushSpec(t.Context(), m.Target, agentlinktest.Spec(router, 1, 1, m.Content(1))); err != nil {
		t.Fatal(err)
	}
}

func TestARebuiltRouterAtTheSameAddressGetsNoOldConnection(t *testing.T) {
	a := authority(t)
	n, m := boot(t, a)
	link := enrolled(t, a, m, m.Dial)
	old, err := link.Status(t.Context(), m.Target)
	if err != nil {
		t.Fatal(err)
	}
	b := drive(a, 1)
	b.JoinToken = "another"
	m, err = n.Booted(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := link.Enrol(t.Context(), m.Target); err != nil {
		t.Fatal(err)
	}
	fresh, err := link.Status(t.Context(), m.Target)
	if err != nil || fresh.BootID == old.BootID {
		t.Fatalf("%+v, %v", fresh, err)
	}
}

func TestAnotherRouterAtTheAddressIsTheWrongPeer(t *testing.T) {
	a := authority(t)
	_, m := boot(t, a)
	link := enrolled(t, a, m, m.Dial)
	other := m.Target
	other.RouterUUID = "0190bbbb-0000-7000-8000-000000000002"
	_, err := link.Status(t.Context(), other)
	if !agentlink.IsWrongPeer(err) || agentlink.IsNotEnrolled(err) || agentlink.IsUnreachable(err) {
		t.Fatalf("got %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	a := authority(t)
	n, m := boot(t, a)
	link := enrolled(t, a, m, m.Dial)
	n.Remove(m.Target.Addr)
	_, err := link.Status(t.Context(), m.Target)
	if !agentlink.IsUnreachable(err) || agentlink.IsNotEnrolled(err) {
		t.Fatalf("nobody there: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := link.WaitReachable(ctx, m.Target); !agentlink.IsUnreachable(err) {
		t.Fatalf("waiting for nobody: %v", err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	mute := agentlink.NewOver(a, func(ctx context.Context, _ netip.AddrPort, _ time.Duration) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", silent.Addr().String())
	})
	defer mute.Close()
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := mute.Status(ctx, m.Target); !agentlink.IsUnreachable(err) {
		t.Fatalf("a silent peer: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := mute.Status(ctx, m.Target); err == nil || agentlink.IsUnreachable(err) {
		t.Fatalf("a caller who gave up: %v", err)
	}
}

func TestIncompleteIsNoError(t *testing.T) {
	a := authority(t)
	n, m := boot(t, a)
	link := enrolled(t, a, m, m.Dial)
	fake := n.Agent(m.Target.Addr)
	fake.Break("dns", "bind 10.0.0.1:53: address in use")
	s, err := link.PushSpec(t.Context(), m.Target, agentlinktest.Spec(router, 1, 1, m.Content(1)))
	if err != nil || s.AcceptedGeneration != 1 || s.AppliedGeneration != 0 || s.Services["dns"].Error == "" {
		t.Fatalf("%+v, %v", s, err)
	}
	fake.Break("dns", "")
	if s, err = link.Status(t.Context(), m.Target); err != nil || s.AppliedGeneration != 1 || !s.Services["dns"].Ready {
		t.Fatalf("mended: %+v, %v", s, err)
	}
}

// The wait ends within milliseconds of the agent's listening: it is on the way
// of every new router.
func TestWaitReachableIsQuick(t *testing.T) {
	a := authority(t)
	n := agentlinktest.NewNetwork()
	defer n.Close()
	link := agentlink.NewOver(a, n.Dial)
	b := drive(a, 7)
	up := make(chan time.Time, 1)
	time.AfterFunc(150*time.Millisecond, func() {
		if _, err := n.Boot(b); err == nil {
			up <- time.Now()
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := link.WaitReachable(ctx, agentlink.Target{RouterUUID: router, Addr: b.Listen}); err != nil {
		t.Fatal(err)
	}
	if late := time.Since(<-up); late > 500*time.Millisecond {
		t.Fatalf("noticed %s late", late)
	}
}

func TestUserTimeoutIsSet(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := agentlink.DialTCP(t.Context(), netip.MustParseAddrPort(ln.Addr().String()), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const tcpUserTimeout = 18 // linux/tcp.h
	var got int
	if err := raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout) }); err != nil {
		t.Fatal(err)
	}
	if err != nil || got != 5000 {
		t.Fatalf("TCP_USER_TIMEOUT %d ms, %v", got, err)
	}
}
