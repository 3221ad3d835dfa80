package dns

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/sluice-nfv/sluice/appliance/wire/mmsg"
)

const (
	// wireVariable is how many mutated packets TestMutatedOnTheWire sends from
	// each side; hack/fuzz.sh sends more.
	wireVariable = "SLUICE_WIRE_PACKETS"

	mutatedBatch = 64 // packets a system call
	lies         = 16 // wrong answers before each right one
)

func packets() int {
	n, err := strconv.Atoi(os.Getenv(wireVariable))
	if err != nil {
		return 20_000
	}
	return n
}

// TestMutatedOnTheWire: packets that were changed at random, a guest's and then
// an upstream's, neither end the server nor make it grow, and it answers as
// before.
func TestMutatedOnTheWire(t *testing.T) {
	w := newWorld(t)
	before := w.routerMemory()
	if out := w.harmOnce("mutate"); out != strconv.Itoa(packets()) {
		t.Fatalf("%s packets were sent, want %d", out, packets())
	}
	w.unharmed(before)
	c := w.tell(order{}).Status.Counters
	t.Logf("%d packets from a guest: %v", packets(), c)
	if c["dns_malformed_queries_total"] == 0 || c["dns_udp_queries_total"] < uint64(packets())/4 {
		t.Error("they did not arrive")
	}

	w.endUpstream()
	liar, out, _ := w.child(upstreamNS, "liar", childEnv+"_LISTEN="+upstreamIP+":53")
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("liar: %q %v", line, err)
	}
	for i := range curiousGuests {
		w.must("ip", "-n", guestNS, "addr", "replace", curiousIP(i)+"/24", "dev", "eth0")
	}
	end := w.harm("curious")
	line, err := out.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != strconv.Itoa(packets()) {
		t.Fatalf("liar: %q %v", line, err)
	}
	asked := end()
	last := c
	c = w.tell(order{}).Status.Counters
	t.Logf("%d packets from the upstream, for %d questions: %v", packets(), asked, c)
	if c["dns_upstream_ignored_total"]-last["dns_upstream_ignored_total"] < uint64(packets())/50 {
		t.Error("they did not arrive")
	}
	liar.Process.Kill()
	liar.Wait()
	w.startUpstream()
	w.unharmed(before)
}

// unharmed: the server answers, and is no larger than the cache may have made it.
func (w *world) unharmed(before int) {
	w.t.Helper()
	waitFor(w.t, "the upstream's answers arrive", func() bool {
		return strings.Contains(w.in(guestNS, dig+"+short www.example.test"), "203.0.113.1")
	})
	w.tellAll([]story{
		{"a name", dig + "+short web.lan.test", []string{"10.77.0.10"}, ""},
		{"by TCP", dig + "+tcp +short web.lan.test", []string{"10.77.0.10"}, ""},
	})
	// A cache of 16 MiB may be full now, and the collector behind.
	if grown := w.routerMemory() - before; grown > 64<<20 {
		w.t.Errorf("the server grew by %d MiB", grown>>20)
	}
}

// seeds are packets as real clients send them: dig's with EDNS and cookie, the C
// library's, a transfer, an update, an answer.
var seeds = []string{
	"\x12\x34\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01\x03web\x03lan\x04test\x00\x00\x01\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08",
	"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x04test\x00\x00\x1c\x00\x01",
	"\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03lan\x04test\x00\x00\xfc\x00\x01",
	"\x00\x02\x28\x00\x00\x01\x00\x00\x00\x01\x00\x00\x03lan\x04test\x00\x00\x06\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01",
	"\x00\x03\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x03web\x03lan\x04test\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01",
}

// broken is a packet with some bytes changed from an offset on, or its end cut.
// One byte at least is left.
func broken(r *rand.Rand, pkt []byte, from int) []byte {
	for range 1 + r.IntN(6) {
		pkt[from+r.IntN(len(pkt)-from)] = byte(r.Uint32())
	}
	if r.IntN(4) == 0 {
		pkt = pkt[:max(1, from+r.IntN(len(pkt)-from+1))]
	}
	return pkt
}

// mutate sends a guest's packets, one in a hundred over TCP.
func mutate(total int) (sent int, err error) {
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(harmIP)}, &net.UDPAddr{IP: net.ParseIP(routerIP), Port: 53})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	r, out := rand.New(rand.NewPCG(1, 2)), mmsg.Sending(raw, mutatedBatch) //nolint:gosec // the same ones every time
	pkt := func() []byte { return broken(r, []byte(seeds[r.IntN(len(seeds))]), 0) }
	for sent < total {
		n := min(mutatedBatch, total-sent)
		for i := range n {
			out.Set(i, pkt())
		}
		if moved, err := out.Move(n, true); err == nil { // else an earlier one's ICMP error
			sent += moved
		}
		if sent%100 < mutatedBatch && sent < total {
			if err := sendTCP(r, pkt()); err != nil {
				return sent, err
			}
			sent++
		}
	}
	return sent, nil
}

// sendTCP sends one packet over a connection that it resets: closed ones would
// keep their ports for a minute.
func sendTCP(r *rand.Rand, pkt []byte) error {
	c, err := net.Dial("tcp4", routerIP+":53")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		return err
	}
	_, _ = c.Write(append([]byte{byte(r.Uint32() & 1), byte(len(pkt))}, pkt...)) // refused ones are closed already
	return nil
}

// playLiar answers each question with mutated answers before the right one, over
// both transports, and prints how many there were when there are enough.
func playLiar(at string, total int) error {
	udp, err := net.ListenPacket("udp4", at)
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp4", at)
	if err != nil {
		return err
	}
	go (&miekg.Server{Listener: tcp, Handler: miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) {
		if answer, err := lieFor(q).Pack(); err == nil {
			_, _ = w.Write(broken(rand.New(rand.NewPCG(rand.Uint64(), 1)), answer, 0)) //nolint:gosec // any
		}
	})}).ActivateAndServe()
	fmt.Println("ready")
	r, buf := rand.New(rand.NewPCG(3, 4)), make([]byte, 4096) //nolint:gosec // the same ones every time
	for sent := 0; ; {
		n, from, err := udp.ReadFrom(buf)
		if err != nil {
			return err
		}
		sent += lie(r, udp, buf[:n], from, min(lies, total-sent))
		if sent == total {
			fmt.Println(sent)
			select {} // until the test ends
		}
	}
}

// lie sends n mutated answers to a query and then the right one.
func lie(r *rand.Rand, udp net.PacketConn, query []byte, to net.Addr, n int) int {
	var q miekg.Msg
	if q.Unpack(query) != nil || len(q.Question) != 1 {
		return 0
	}
	m := lieFor(&q)
	right, err := m.Pack()
	if err != nil {
		return 0
	}
	// Most are right up to the answer's records, or they would not be read.
	end := 12 + len(q.Question[0].Name) + 1 + 4
	for range n {
		from := end
		if r.IntN(8) == 0 {
			from = 0
		}
		_, _ = udp.WriteTo(broken(r, append([]byte(nil), right...), from), to) // who asked is gone
	}
	_, _ = udp.WriteTo(right, to)
	return n
}

// lieFor is an answer with something of everything.
func lieFor(q *miekg.Msg) *miekg.Msg {
	m := new(miekg.Msg)
	m.SetReply(q)
	name := q.Question[0].Name
	for _, text := range []string{
		" 300 IN CNAME a.example.test.", "a.example.test. 300 IN A 203.0.113.9", " 300 IN MX 5 a.example.test.",
		` 300 IN HTTPS 1 . alpn=h2 ipv4hint=203.0.113.9`, ` 300 IN TXT "a" "b"`,
	} {
		if text[0] == ' ' {
			text = name + text
		}
		rr, err := miekg.NewRR(text)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	soa, _ := miekg.NewRR("example.test. 300 IN SOA ns.example.test. root.example.test. 1 2 3 4 300")
	m.Ns = []miekg.RR{soa}
	m.SetEdns0(1232, true)
	m.Compress = true
	return m
}

// curiousGuests is how many addresses curious asks from: one guest may ask an
// upstream 1,000 times a second.
const curiousGuests = 16

func curiousIP(i int) string { return fmt.Sprintf("10.77.0.%d", 100+i) }

// curious asks for ever new names and types until it is interrupted, no faster
// than a busy upstream answers.
func curious(ready func(), done <-chan os.Signal) (sent int, err error) {
	var conns []net.Conn
	for i := range curiousGuests {
		c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(curiousIP(i))}, &net.UDPAddr{IP: net.ParseIP(routerIP), Port: 53})
		if err != nil {
			return 0, err
		}
		defer c.Close()
		conns = append(conns, c)
	}
	ready()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	types := []uint16{miekg.TypeA, miekg.TypeAAAA, miekg.TypeMX, miekg.TypeHTTPS, miekg.TypeTXT, miekg.TypeSOA}
	for {
		select {
		case <-done:
			return sent, nil
		case <-tick.C:
		}
		for _, c := range conns {
			if _, err := c.Write(newName(sent, types[sent%len(types)])); err == nil { // else an answer's ICMP error
				sent++
			}
		}
	}
}

func newName(n int, qtype uint16) []byte {
	name := fmt.Sprintf("q%015d", n)
	pkt := append([]byte{byte(n >> 8), byte(n), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, byte(len(name))}, name...)
	pkt = append(pkt, "\x07example\x04test\x00"...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(pkt, qtype), 1)
}
