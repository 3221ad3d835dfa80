package nat

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

// Patience with an answer that should come, and with one that should not.
const (
	soon  = 3 * time.Second
	never = 300 * time.Millisecond
)

// serve answers on an address of a namespace, TCP and UDP: a line or datagram
// comes back as "<name> <whom it came from> <text>".
func serve(t *testing.T, ns *kerneltest.Namespace, name, at string) {
	t.Helper()
	var l net.Listener
	var p net.PacketConn
	var err, err2 error
	ns.Do(func() {
		l, err = net.Listen("tcp4", at)
		p, err2 = net.ListenPacket("udp4", at)
	})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	t.Cleanup(func() { l.Close(); p.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerLines(c, name)
		}
	}()
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = p.WriteTo(fmt.Appendf(nil, "%s %s %s", name, from, b[:n]), from)
		}
	}()
}

func answerLines(c net.Conn, name string) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		fmt.Fprintf(c, "%s %s %s\n", name, c.RemoteAddr(), lines.Text())
	}
}

// talk is a connection, or a connected UDP socket.
type talk struct {
	net.Conn
	read *bufio.Reader
}

// dial connects from a namespace; from may be empty, or an address to use.
func dial(ns *kerneltest.Namespace, network, from, to string, patience time.Duration) (*talk, error) {
	d := net.Dialer{Timeout: patience}
	if from != "" {
		ap := netip.MustParseAddrPort(from + ":0")
		if network == "tcp" {
			d.LocalAddr = net.TCPAddrFromAddrPort(ap)
		} else {
			d.LocalAddr = net.UDPAddrFromAddrPort(ap)
		}
	}
	var c net.Conn
	var err error
	ns.Do(func() { c, err = d.DialContext(context.Background(), network+"4", to) })
	if err != nil {
		return nil, err
	}
	return &talk{Conn: c, read: bufio.NewReaderSize(c, 65536)}, nil // a datagram is one read
}

// say sends a text and returns who answered and whom the answerer saw.
func (k *talk) say(text string, patience time.Duration) (who string, saw netip.AddrPort, err error) {
	if _, err := fmt.Fprintln(k, text); err != nil {
		return "", saw, err
	}
	_ = k.SetReadDeadline(time.Now().Add(patience))
	line, err := k.read.ReadString('\n')
	if err != nil {
		return "", saw, err
	}
	words := strings.Fields(line)
	if len(words) != 3 || words[2] != text {
		return "", saw, fmt.Errorf("answer %q to %q", line, text)
	}
	return words[0], netip.MustParseAddrPort(words[1]), nil
}

// ask is one question and answer.
func ask(ns *kerneltest.Namespace, network, from, to string, patience time.Duration) (string, netip.Addr, error) {
	k, err := dial(ns, network, from, to, patience)
	if err != nil {
		return "", netip.Addr{}, err
	}
	defer k.Close()
	who, saw, err := k.say("hello", patience)
	return who, saw.Addr(), err
}

// reaches checks that to answers as who, and sees saw as the asker ("": whoever).
func (w *world) reaches(ns *kerneltest.Namespace, network, from, to, who, saw string) {
	w.t.Helper()
	gotWho, gotSaw, err := ask(ns, network, from, to, soon)
	switch {
	case err != nil:
		w.t.Errorf("%s to %s: %v", network, to, err)
	case gotWho != who || saw != "" && gotSaw != addr(saw):
		w.t.Errorf("%s to %s: %s answered and saw %s, want %s and %s", network, to, gotWho, gotSaw, who, saw)
	}
}

// isolated checks that nothing answers at to.
func (w *world) isolated(ns *kerneltest.Namespace, network, from, to string) {
	w.t.Helper()
	if who, saw, err := ask(ns, network, from, to, never); err == nil {
		w.t.Errorf("%s to %s: %s answered and saw %s, want nobody", network, to, who, saw)
	}
}

// open starts a conversation that should go on.
func (w *world) open(ns *kerneltest.Namespace, network, from, to string) *talk {
	w.t.Helper()
	k, err := dial(ns, network, from, to, soon)
	if err != nil {
		w.t.Fatalf("%s to %s: %v", network, to, err)
	}
	w.t.Cleanup(func() { k.Close() })
	if _, _, err := k.say("start", soon); err != nil {
		w.t.Fatalf("%s to %s: %v", network, to, err)
	}
	return k
}

func (w *world) goesOn(what string, k *talk) {
	w.t.Helper()
	if _, _, err := k.say("still", soon); err != nil {
		w.t.Errorf("%s ended: %v", what, err)
	}
}

func (w *world) ended(what string, k *talk) {
	w.t.Helper()
	if who, saw, err := k.say("still", never); err == nil {
		w.t.Errorf("%s goes on: %s answered and saw %s", what, who, saw)
	}
}

// catch listens for datagrams at an address and returns whom the next is from,
// or an error when none comes.
func catch(t *testing.T, ns *kerneltest.Namespace, at string) func(patience time.Duration) (net.Addr, error) {
	t.Helper()
	var p net.PacketConn
	var err error
	ns.Do(func() { p, err = net.ListenPacket("udp4", at) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return func(patience time.Duration) (net.Addr, error) {
		_ = p.SetReadDeadline(time.Now().Add(patience))
		_, from, err := p.ReadFrom(make([]byte, 64))
		return from, err
	}
}

// send is one datagram.
func send(t *testing.T, ns *kerneltest.Namespace, from, to string) {
	t.Helper()
	k, err := dial(ns, "udp", from, to, soon)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	_, _ = io.WriteString(k, "x\n")
}
