package datagram

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"
)

// TestSocket: packets arrive whole or marked as cut, with who sent them, and
// what is sent goes back there.
func TestSocket(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(conn)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := net.DialUDP("udp4", nil, conn.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	sent := [][]byte{[]byte("a"), {}, bytes.Repeat([]byte("b"), MaxLen), bytes.Repeat([]byte("c"), MaxLen+1)}
	for _, p := range sent {
		if _, err := peer.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	in := make([]Packet, Batch)
	for got := 0; got < len(sent); {
		n, err := s.Receive(in)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range in[:n] {
			want := sent[got+i]
			if cut := len(want) > MaxLen; p.Cut != cut || !bytes.Equal(p.Data, want[:min(len(want), MaxLen)]) ||
				p.Peer != peer.LocalAddr().(*net.UDPAddr).AddrPort() {
				t.Errorf("packet %d: %d bytes, cut %v, from %v", got+i, len(p.Data), p.Cut, p.Peer)
			}
		}
		if sent, err := s.Send([]Packet{{Data: []byte("answer"), Peer: in[0].Peer}}); sent != 1 || err != nil {
			t.Fatal(sent, err)
		}
		got += n
	}
	if err := s.SendOne(Packet{Data: []byte("late"), Peer: in[0].Peer}); err != nil {
		t.Error(err)
	}
	buf := make([]byte, 100)
	if n, err := peer.Read(buf); err != nil || string(buf[:n]) != "answer" {
		t.Errorf("%q %v", buf[:n], err)
	}
	for n, want := 0, "late"; string(buf[:n]) != want; { // behind the other answers
		if n, err = peer.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	time.AfterFunc(10*time.Millisecond, func() { _ = s.Close() })
	if _, err := s.Receive(in); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
