package dns

import (
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

const (
	guestMAC = "52:54:00:00:00:01"
	mgmtMAC  = "52:54:00:00:00:02"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// sample is a spec with one guest network, 10.1.2.0/24 "lan.example".
func sample() agentv1.Content {
	record := func(name, ip string) agentv1.DNSRecord {
		return agentv1.DNSRecord{Name: name, IP: netip.MustParseAddr(ip)}
	}
	return agentv1.Content{
		Interfaces: []agentv1.Interface{
			{Name: "lo", MAC: guestMAC, Roles: []agentv1.Role{agentv1.RoleGuest}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.2.1/24")}},
			{Name: "eth0", MAC: mgmtMAC, Roles: []agentv1.Role{agentv1.RoleManagement}, Addresses: []netip.Prefix{netip.MustParsePrefix("172.31.7.9/24")}},
		},
		DNS: []agentv1.DNSNetwork{{
			Interface: guestMAC,
			Listen:    []netip.Addr{netip.MustParseAddr("127.0.0.53")},
			Domain:    "lan.example",
			Subnet:    netip.MustParsePrefix("10.1.2.0/24"),
			Records: []agentv1.DNSRecord{
				record("web", "10.1.2.10"), record("clash", "10.1.2.20"), record("clash", "10.1.2.21"),
				record("a.deep", "10.1.2.30"), record("outside", "192.0.2.7"), record("six", "2001:db8::6"),
			},
		}},
	}
}

// bench is a network without sockets: packets go in and replies come out.
type bench struct {
	t   testing.TB
	srv *Server
	net *network
	// at is the network's clock.
	at    instant
	mu    sync.Mutex
	late  [][]byte
	wake  chan struct{}
	tally tally
}

func newBench(t testing.TB, change func(*agentv1.Content, *Config)) *bench {
	t.Helper()
	c := sample()
	var extra Config
	if change != nil {
		change(&c, &extra)
	}
	configs, err := Plan(c)
	if err != nil {
		t.Fatalf("plan sample: %v", err)
	}
	cfg := configs[0]
	cfg.ForwardSingleLabel = extra.ForwardSingleLabel
	b := &bench{t: t, srv: New(quiet), wake: make(chan struct{}, 1000), at: time.Hour}
	t.Cleanup(func() {
		if err := b.srv.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	b.net = b.srv.newNetwork()
	b.net.clock = b.now
	tab := b.srv.newTable(nil, cfg, 1)
	tab.resolver.clock = b.now
	b.net.table.Store(tab)
	return b
}

func (b *bench) now() instant {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

// pass moves the clock.
func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	b.at += d
	b.mu.Unlock()
}

func (b *bench) reply(msg []byte, _ netip.AddrPort) {
	b.mu.Lock()
	b.late = append(b.late, append([]byte(nil), msg...))
	b.mu.Unlock()
	b.wake <- struct{}{}
}

var guest = netip.MustParseAddrPort("10.1.2.77:40000")

// raw gives a packet to the network and returns what comes back at once.
func (b *bench) raw(pkt []byte, tcp bool) []byte {
	q := query{overTCP: tcp}
	return b.net.respond(nil, &q, pkt, b, guest, b.now(), &b.tally)
}

// ask sends a message and waits for the reply, at once or late.
func (b *bench) ask(m *dns.Msg, tcp bool) *dns.Msg {
	b.t.Helper()
	pkt, err := m.Pack()
	if err != nil {
		b.t.Fatalf("pack %v: %v", m, err)
	}
	got := b.raw(pkt, tcp)
	if got == nil {
		select {
		case <-b.wake:
		case <-time.After(6 * time.Second):
			b.t.Fatalf("no reply to %v", m.Question)
		}
		b.mu.Lock()
		got, b.late = b.late[0], b.late[1:]
		b.mu.Unlock()
	}
	r := new(dns.Msg)
	if err := r.Unpack(got); err != nil {
		b.t.Fatalf("unpack reply to %v: %v\n%x", m.Question, err, got)
	}
	return r
}

// question is a plain query.
func question(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	return m
}

// lookup asks over UDP without EDNS.
func (b *bench) lookup(name string, qtype uint16) *dns.Msg {
	b.t.Helper()
	return b.ask(question(name, qtype), false)
}
