package dns

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A second guest, who means harm.
const harmIP = "10.77.0.66"

// names writes a file that has dig ask n times, and returns dig's command: as a
// guest's own resolver does, it asks a second time when there is no answer.
func (w *world) names(n int, name func(i int) string) string {
	w.t.Helper()
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "%s A\n", name(i))
	}
	file := filepath.Join(w.t.TempDir(), "names")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return "dig +time=1 +tries=2 +nocookie -b 10.77.0.10 @" + routerIP + " -f " + file
}

// answered is how many of dig's questions had a good answer.
func answered(out string) int { return strings.Count(out, "status: NOERROR") }

// harm starts a part in the guests' namespace, and returns what ends it and
// says how much it did.
func (w *world) harm(part string) (end func() int) {
	w.t.Helper()
	w.must("ip", "-n", guestNS, "addr", "replace", harmIP+"/24", "dev", "eth0")
	c, out, _ := w.child(guestNS, part)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		w.t.Fatalf("%s: %q %v", part, line, err)
	}
	return func() int {
		w.t.Helper()
		if err := c.Process.Signal(os.Interrupt); err != nil {
			w.t.Fatal(err)
		}
		line, err := out.ReadString('\n')
		n, bad := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || bad != nil {
			w.t.Fatalf("%s: %q %v", part, line, err)
		}
		return n
	}
}

// TestFlood: one guest asks as fast as it can; another gets its answers, at
// least 999 of 1,000.
func TestFlood(t *testing.T) {
	w := newWorld(t)
	end := w.harm("flood")
	const questions = 1000
	good := answered(w.in(guestNS, w.names(questions, func(int) string { return "web.lan.test" })))
	sent := end()
	if good*1000 < questions*999 {
		t.Errorf("%d of %d answered, while another sent %d", good, questions, sent)
	}
	if sent < 10*questions {
		t.Errorf("%d queries are no flood", sent)
	}
	if n := w.tell(order{}).Status.Counters["dns_rate_limited_total"]; n == 0 {
		t.Error("the flood was answered whole")
	}
}

// TestSlowloris: 5,000 connections that say nothing, or the half of a query, of
// one guest do not keep another from its answers, by UDP or TCP.
func TestSlowloris(t *testing.T) {
	w := newWorld(t)
	end := w.harm("slowloris")
	for _, tcp := range []string{"", " +tcp"} {
		const questions = 100
		if good := answered(w.in(guestNS, w.names(questions, func(int) string { return "web.lan.test" })+tcp)); good != questions {
			t.Errorf("%d of %d answered%s", good, questions, tcp)
		}
	}
	if n := end(); n != slowConnections {
		t.Errorf("%d connections were made", n)
	}
	st := w.tell(order{}).Status
	if n := st.Counters["dns_tcp_connections_refused_total"]; n < slowConnections/2 {
		t.Errorf("%d connections were refused", n)
	}
}

// TestRandomNames: a flood of names that do not exist takes no known name out of
// the cache, and other guests' questions still go out.
func TestRandomNames(t *testing.T) {
	w := newWorld(t)
	const known = 200
	ask := w.names(known, func(i int) string { return fmt.Sprintf("n%d.cached.example.test", i) })
	for range 2 { // the second time from the cache: they are seen to be of use
		if good := answered(w.in(guestNS, ask)); good != known {
			t.Fatalf("%d of %d names", good, known)
		}
	}
	end := w.harm("random")
	w.in(guestNS, "sleep 1")
	sent := end()
	before := strings.Count(w.leaked(), ".cached.example.test.")
	if good := answered(w.in(guestNS, ask)); good != known {
		t.Errorf("after %d random names %d of %d", sent, good, known)
	}
	// What one guest may ask upstream is bounded, whatever it sends.
	if reached := strings.Count(w.leaked(), ".example.test.") - before; reached*5 > sent {
		t.Errorf("%d of %d random names went upstream", reached, sent)
	}
	if again := strings.Count(w.leaked(), ".cached.example.test.") - before; again > known/100 {
		t.Errorf("%d of %d names were asked again after %d random ones", again, known, sent)
	}
}

// harmOnce waits until a part has ended, and returns what it printed last.
func (w *world) harmOnce(part string) string {
	w.t.Helper()
	w.must("ip", "-n", guestNS, "addr", "replace", harmIP+"/24", "dev", "eth0")
	_, out, _ := w.child(guestNS, part)
	text, err := io.ReadAll(out)
	if err != nil {
		w.t.Fatal(err)
	}
	f := strings.Fields(string(text))
	return f[len(f)-1]
}

// routerMemory is the router's resident set in bytes (proc(5), statm).
func (w *world) routerMemory() int {
	w.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", w.routerPID))
	if err != nil {
		w.t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		w.t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// playHarm does what hurts until it is interrupted, and says how much it did.
func playHarm(part string, done <-chan os.Signal) error {
	var n int
	var err error
	out := bufio.NewWriter(os.Stdout)
	ready := func() { fmt.Fprintln(out, "ready"); _ = out.Flush() }
	switch part {
	case "slowloris":
		n, err = slowloris(ready, done)
	case "mutate":
		n, err = mutate(packets())
	case "curious":
		n, err = curious(ready, done)
	default:
		n, err = flood(part == "random", ready, done)
	}
	fmt.Fprintln(out, n)
	return firstOf(err, out.Flush())
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// flood sends queries for one name, or for ever new ones, and never looks at an
// answer.
func flood(random bool, ready func(), done <-chan os.Signal) (sent int, err error) {
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(harmIP)}, &net.UDPAddr{IP: net.ParseIP(routerIP), Port: 53})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	pkt := []byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x10________________\x07example\x04test\x00\x00\x01\x00\x01")
	if !random {
		pkt = []byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x03lan\x04test\x00\x00\x01\x00\x01")
	}
	ready()
	var name [8]byte
	for {
		select {
		case <-done:
			return sent, nil
		default:
		}
		binary.BigEndian.PutUint16(pkt, uint16(sent))
		if random {
			rand.Read(name[:]) //nolint:errcheck // never fails
			hex.Encode(pkt[13:29], name[:])
		}
		if _, err := conn.Write(pkt); err == nil { // else the answers' ICMP errors
			sent++
		}
	}
}

const slowConnections = 5000

// slowloris opens connections one after the other and keeps them, each second
// one with the half of a query.
func slowloris(ready func(), done <-chan os.Signal) (made int, err error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(harmIP)}}
	for made < slowConnections {
		conn, err := d.Dial("tcp4", routerIP+":53")
		if err != nil {
			return made, err
		}
		defer conn.Close()
		if made++; made%2 == 0 {
			_, _ = conn.Write([]byte{0, 100, 1, 2, 3}) // refused ones are closed already
		}
	}
	ready()
	<-done
	return made, nil
}
