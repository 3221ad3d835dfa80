package dhcp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"go.uber.org/goleak"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeWire is a wire in memory. It keeps whole frames and hands them over
// unchanged; after fail or close nothing gets through.
type fakeWire struct {
	requests chan []byte
	answers  chan []byte
	broken   chan error
	closing  sync.Once
	gone     chan struct{}
	late     atomic.Int32 // receives after close
	id       int
}

func (w *fakeWire) receive(slots []*slot, wait bool) (int, error) {
	select {
	case <-w.gone:
		w.late.Add(1)
	default:
	}
	n := 0
	for n < len(slots) {
		if n > 0 || !wait {
			select {
			case f := <-w.requests:
				slots[n].n = copy(slots[n].buf[:], f)
				n++
				continue
			default:
				return n, nil
			}
		}
		select {
		case f := <-w.requests:
			slots[n].n = copy(slots[n].buf[:], f)
			n++
		case err := <-w.broken:
			return n, err
		case <-w.gone:
			return n, errClosed
		}
	}
	return n, nil
}

func (w *fakeWire) send(slots []*slot) (int, error) {
	for _, s := range slots {
		w.answers <- append([]byte(nil), s.frame()...)
	}
	return len(slots), nil
}

func (w *fakeWire) overflow() uint64 { return 0 }
func (w *fakeWire) index() int       { return w.id }
func (w *fakeWire) close() error     { w.closing.Do(func() { close(w.gone) }); return nil }

// fakeLinks opens fake wires and counts.
type fakeLinks struct {
	mu      sync.Mutex
	down    map[hw]bool
	opened  []string
	refused int
	wires   map[hw]*fakeWire
}

func (f *fakeLinks) open(link string, mac hw) (wire, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down[mac] {
		f.refused++
		return nil, fmt.Errorf("find link %s: gone", link)
	}
	w := &fakeWire{requests: make(chan []byte, 4096), answers: make(chan []byte, 4096), broken: make(chan error, 1), gone: make(chan struct{}), id: len(f.opened) + 1}
	f.opened = append(f.opened, link)
	f.wires[mac] = w
	return w, nil
}

func (f *fakeLinks) set(mac hw, down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down[mac] = down
}

func (f *fakeLinks) wire(mac hw) *fakeWire {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wires[mac]
}

func (f *fakeLinks) refusals() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

func (f *fakeLinks) opens() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.opened)
}

func testServer(t *testing.T) (*Server, *fakeLinks) {
	links := &fakeLinks{down: map[hw]bool{}, wires: map[hw]*fakeWire{}}
	s := newServer(slog.New(slog.DiscardHandler), links.open)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, links
}

var guest, _ = parseMAC(routerMAC)

func apply(t *testing.T, s *Server, n ...agentv1.DHCPNetwork) error {
	t.Helper()
	c, links := agentv1.Content{DHCP: n}, dataplane.Links{}
	for i := range n {
		links[n[i].Interface] = fmt.Sprintf("test%d", i)
	}
	return s.Apply(t.Context(), c, links)
}

func answerOn(t *testing.T, w *fakeWire) *dhcpv4.DHCPv4 {
	t.Helper()
	select {
	case f := <-w.answers:
		msg, _ := openReply(t, f)
		r, err := dhcpv4.FromBytes(msg)
		if err != nil {
			t.Fatal(err)
		}
		return r
	case <-time.After(5 * time.Second):
		t.Fatal("no answer")
		return nil
	}
}

func discoverFrame(t *testing.T, from string) []byte {
	return requestFrame(message(t, from, dhcpv4.MessageTypeDiscover).ToBytes(), mac(from), everywhere)
}

// TestServerFollowsApply: a network appears, changes, goes; sockets are opened
// for what is new only.
func TestServerFollowsApply(t *testing.T) {
	s, links := testServer(t)
	n := guestNetwork()
	if err := apply(t, s, n); err != nil {
		t.Fatal(err)
	}
	w := links.wire(guest)
	w.requests <- discoverFrame(t, webMAC)
	if r := answerOn(t, w); !r.YourIPAddr.Equal(ip(webIP)) {
		t.Fatalf("offered %v", r.YourIPAddr)
	}
	w.requests <- requestFrame(message(t, webMAC, dhcpv4.MessageTypeRequest, withWanted(webIP)).ToBytes(), mac(webMAC), everywhere)
	answerOn(t, w)
	if l := s.Leases(); len(l) != 1 || l[0].IP != webIP.String() {
		t.Errorf("leases are %v", l)
	}
	moved := guestNetwork()
	moved.Bindings[0].IP = netip.MustParseAddr("10.1.0.99")
	second := guestNetwork()
	second.Interface, second.Bindings = "02:00:00:00:00:02", nil
	if err := apply(t, s, moved, second); err != nil {
		t.Fatal(err)
	}
	if l := s.Leases(); len(l) != 0 {
		t.Errorf("the lease of an address that moved is reported: %v", l)
	}
	w.requests <- discoverFrame(t, webMAC)
	if r := answerOn(t, w); r.YourIPAddr.String() != "10.1.0.99" {
		t.Errorf("after the change %v is offered", r.YourIPAddr)
	}
	if err := apply(t, s, moved, second); err != nil || links.opens() != 2 {
		t.Errorf("%v; %d opens, want 2", err, links.opens())
	}
	if err := apply(t, s, second); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.gone:
	default:
		t.Error("the socket of a network that went is open")
	}
	if st := s.Status(); !st.Ready || st.Counters["dhcp_offer_total"] != 2 {
		t.Errorf("status %+v", st)
	}
}

// TestFirstPacketOfANewGuest: the server sits waiting for packets when a guest
// is added; the guest's very first DISCOVER is answered. (Clients repeat it only
// after seconds.)
func TestFirstPacketOfANewGuest(t *testing.T) {
	s, links := testServer(t)
	empty := guestNetwork()
	empty.Bindings = nil
	if err := apply(t, s, empty); err != nil {
		t.Fatal(err)
	}
	w := links.wire(guest)
	w.requests <- discoverFrame(t, webMAC) // a stranger yet: silence, and then the server waits again
	for s.Status().Counters["dhcp_ignored_unknown_mac_total"] == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	if err := apply(t, s, guestNetwork()); err != nil {
		t.Fatal(err)
	}
	w.requests <- discoverFrame(t, webMAC)
	if r := answerOn(t, w); !r.YourIPAddr.Equal(ip(webIP)) {
		t.Fatalf("offered %v", r.YourIPAddr)
	}
}

// from gives the frame as if sender i had sent it: one alone is limited.
func from(f []byte, i int) []byte {
	copy(f[6:], []byte{2, 0x55, 0, 0, byte(i >> 8), byte(i)})
	return f
}

// TestChangeLosesNoPacket: a stream of requests, and a new Config every time.
func TestChangeLosesNoPacket(t *testing.T) {
	s, links := testServer(t)
	if err := apply(t, s, guestNetwork()); err != nil {
		t.Fatal(err)
	}
	const requests = 2000
	w, done := links.wire(guest), make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			n := guestNetwork()
			n.MTU = 1400 + i
			if err := apply(t, s, n); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range requests {
		w.requests <- from(discoverFrame(t, webMAC), i)
		answerOn(t, w)
	}
	<-done
	if got := s.Status().Counters["dhcp_offer_total"]; got != requests || links.opens() != 1 {
		t.Errorf("%d answers to %d requests, %d opens", got, requests, links.opens())
	}
}

// TestLinkLost: the nic goes, is reported, comes back, and is served again; what
// was remembered is still known.
func TestLinkLost(t *testing.T) {
	s, links := testServer(t)
	if err := apply(t, s, guestNetwork()); err != nil {
		t.Fatal(err)
	}
	w := links.wire(guest)
	w.requests <- requestFrame(message(t, webMAC, dhcpv4.MessageTypeRequest, withWanted(webIP)).ToBytes(), mac(webMAC), everywhere)
	answerOn(t, w)
	links.set(guest, true)
	w.broken <- syscall.ENETDOWN
	eventually(t, "a fault is reported", func() bool { return !s.Status().Ready })
	if st := s.Status(); !strings.Contains(st.Error, "test0") {
		t.Errorf("the fault does not name the link: %s", st.Error)
	}
	if err := apply(t, s, guestNetwork()); err == nil {
		t.Error("Apply does not report the link")
	}
	eventually(t, "it is tried again", func() bool { return links.refusals() > 2 })
	links.set(guest, false)
	eventually(t, "it is served again", func() bool { return s.Status().Ready })
	again := links.wire(guest)
	if again == w || w.late.Load() != 0 {
		t.Fatal("the old wire is used")
	}
	again.requests <- discoverFrame(t, webMAC)
	answerOn(t, again)
	if len(s.Leases()) != 1 || s.Status().Counters["dhcp_sockets_reopened_total"] != 1 {
		t.Errorf("leases %v, counters %v", s.Leases(), s.Status().Counters)
	}
}

// TestLinkMissingAtFirst: Apply says so, serves the others, and goes on trying.
func TestLinkMissingAtFirst(t *testing.T) {
	s, links := testServer(t)
	links.set(guest, true)
	second := guestNetwork()
	second.Interface = "02:00:00:00:00:02"
	err := apply(t, s, guestNetwork(), second)
	if err == nil || !strings.Contains(err.Error(), "test0") {
		t.Fatalf("error is %v", err)
	}
	if links.opens() != 1 {
		t.Fatalf("the other network is not served: %d opens", links.opens())
	}
	links.set(guest, false)
	eventually(t, "it is served", func() bool { return s.Status().Ready })
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("not within 5 s: %s", what)
}

// TestGarbageStopsNothing: after packets of every bad kind, and a panic, the
// next one is answered.
func TestGarbageStopsNothing(t *testing.T) {
	s, links := testServer(t)
	if err := apply(t, s, guestNetwork()); err != nil {
		t.Fatal(err)
	}
	w, good := links.wire(guest), discoverFrame(t, webMAC)
	for cut := range len(good) {
		w.requests <- good[:cut]
	}
	for at := 14; at < len(good); at++ {
		bad := append([]byte(nil), good...)
		bad[at] ^= 0xff
		w.requests <- bad
	}
	for len(w.requests) > 0 {
		time.Sleep(time.Millisecond)
	}
	for len(w.answers) > 0 {
		<-w.answers
	}
	w.requests <- good
	answerOn(t, w)
	if c := s.Status().Counters; c["dhcp_malformed_checksum_total"] == 0 || c["dhcp_malformed_frame_total"] == 0 || c["dhcp_panic_total"] != 0 {
		t.Errorf("counters %v", c)
	}
}

// TestPanicCostsOnePacket: a binding that cannot be read makes answer panic.
func TestPanicCostsOnePacket(t *testing.T) {
	d := newDesk(t, guestNetwork())
	broken := *d.config
	broken.lease = nil
	broken.maxSize = 1 << 20 // compose then slices out beyond its end
	good := d.config
	d.config = &broken
	big := message(t, webMAC, dhcpv4.MessageTypeDiscover, dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(65535)))
	if d.ask(big) != nil || d.count(panicked) != 1 {
		t.Fatalf("no panic: %v", d.counters.snapshot())
	}
	d.config = good
	if d.ask(big) == nil {
		t.Error("not answered afterwards")
	}
}

// TestLateDropsTheOldest: more requests than are answered in time. Strangers
// take no place in the queue.
func TestLateDropsTheOldest(t *testing.T) {
	s := newServer(slog.New(slog.DiscardHandler), nil)
	l := s.listen(prepared(t, guestNetwork()), "test0")
	for i := range batch {
		l.in[i], l.out[i] = new(slot), new(slot)
	}
	w := &fakeWire{requests: make(chan []byte, 8192), answers: make(chan []byte, 8192), broken: make(chan error, 1), gone: make(chan struct{})}
	const turns = 2*queueLength/(drainTurns*batch) + 1
	for i := range turns * drainTurns * batch {
		guest := webMAC
		if i%2 == 1 {
			guest = strayMAC
		}
		w.requests <- from(discoverFrame(t, guest), i)
	}
	for range turns {
		if err := l.take(w); err != nil {
			t.Fatal(err)
		}
	}
	guests := uint64(turns * drainTurns * batch / 2)
	if got := s.counters.by[droppedLate].Load(); got != guests-queueLength || l.queue.len != queueLength {
		t.Errorf("%d dropped of %d, %d wait", got, guests, l.queue.len)
	}
	if got := s.counters.by[silentUnknown].Load(); got != guests {
		t.Errorf("%d strangers counted, want %d", got, guests)
	}
	if err := l.give(w); err != nil || len(w.answers) != batch {
		t.Errorf("%v, %d answers", err, len(w.answers))
	}
}

func TestCloseTwiceAndAfter(t *testing.T) {
	s, _ := testServer(t)
	if err := apply(t, s, guestNetwork()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if apply(t, s, guestNetwork()) == nil {
		t.Error("a closed server serves")
	}
}
