package dhcp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/net/bpf"
	"pgregory.net/rapid"
)

func goodFrame(t testing.TB) []byte {
	return requestFrame(message(t, webMAC, dhcpv4.MessageTypeDiscover).ToBytes(), mac(webMAC), everywhere)
}

func TestOpenFrame(t *testing.T) {
	fixIP := func(f []byte) {
		f[24], f[25] = 0, 0
		put16(f[24:], ^naiveSum(f[14:34]))
	}
	for _, tc := range []struct {
		name  string
		spoil func(f []byte) []byte
		want  error
	}{
		{"good", func(f []byte) []byte { return f }, nil},
		{"padded by Ethernet", func(f []byte) []byte { return append(f, 1, 2, 3) }, nil},
		{"no UDP checksum", func(f []byte) []byte { f[40], f[41] = 0, 0; return f }, nil},
		{"wrong UDP checksum", func(f []byte) []byte { f[41]++; return f }, errChecksum},
		{"spoilt message", func(f []byte) []byte { f[100] ^= 1; return f }, errChecksum},
		{"wrong IP checksum", func(f []byte) []byte { f[25]++; return f }, errChecksum},
		{"empty", func([]byte) []byte { return nil }, errFrame},
		{"cut", func(f []byte) []byte { return f[:100] }, errFrame},
		{"ARP", func(f []byte) []byte { f[13] = 6; return f }, errFrame},
		{"version 6", func(f []byte) []byte { f[14] = 0x65; fixIP(f); return f }, errFrame},
		{"header of 16 bytes", func(f []byte) []byte { f[14] = 0x44; return f }, errFrame},
		{"TCP", func(f []byte) []byte { f[23] = 6; fixIP(f); return f }, errFrame},
		{"first fragment", func(f []byte) []byte { f[20] = 0x20; fixIP(f); return f }, errFrame},
		{"later fragment", func(f []byte) []byte { f[21] = 1; fixIP(f); return f }, errFrame},
		{"port 68", func(f []byte) []byte { f[37] = 68; return f }, errFrame},
		{"UDP longer than IP", func(f []byte) []byte { f[38] = 0xff; return f }, errFrame},
		{"UDP of 7 bytes", func(f []byte) []byte { f[38], f[39] = 0, 7; return f }, errFrame},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := message(t, webMAC, dhcpv4.MessageTypeDiscover).ToBytes()
			msg, m, err := openFrame(tc.spoil(goodFrame(t)), false)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error is %v, want %v", err, tc.want)
			}
			if err == nil && (!bytes.Equal(msg, want) || m.dst != limited || m.src != hw(mac(webMAC))) {
				t.Errorf("read %x of %v", msg, m)
			}
		})
	}
}

// TestPartialChecksum: what a guest on the same host sends has only the sum of
// the pseudo header in it; the kernel tells, and only then is it accepted.
func TestPartialChecksum(t *testing.T) {
	f := goodFrame(t)
	put16(f[40:], 0x1234)
	if _, _, err := openFrame(f, true); err != nil {
		t.Errorf("partial checksum: %v", err)
	}
	if _, _, err := openFrame(f, false); !errors.Is(err, errChecksum) {
		t.Errorf("wrong checksum: %v", err)
	}
	f[25]++
	if _, _, err := openFrame(f, true); !errors.Is(err, errChecksum) {
		t.Errorf("the IP header's checksum is never left out: %v", err)
	}
}

// TestChecksumNeverZero: zero would say that there is none (RFC 768), so a sum
// that comes out as zero is sent as its other form.
func TestChecksumNeverZero(t *testing.T) {
	c, f := prepared(t, guestNetwork()), make([]byte, maxFrame)
	for i := range 1 << 16 {
		put16(f[payload:], uint16(i))
		closeFrame(c, target{everyone, limited, clientPort}, f, minMessage)
		if f[40] == 0 && f[41] == 0 {
			t.Fatalf("checksum 0 with %04x", i)
		}
	}
}

func TestSumIsTheNaiveSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		if got, want := fold(sum(b, 0)), naiveSum(b); got != want && got%0xffff != want%0xffff {
			t.Fatalf("%04x, want %04x", got, want)
		}
	})
}

// TestFilter runs the kernel's filter over frames, good and bad. It sees no
// packet type here (extensions are zero: "for us").
func TestFilter(t *testing.T) {
	program := requestFilter
	vm, err := bpf.NewVM(append([]bpf.Instruction{bpf.LoadConstant{Val: 0}}, program[1:]...))
	if err != nil {
		t.Fatal(err)
	}
	pass := func(f []byte) bool {
		n, err := vm.Run(f)
		return err == nil && n > 0
	}
	if !pass(goodFrame(t)) {
		t.Error("a DISCOVER does not pass")
	}
	options := goodFrame(t)
	options = append(options[:34:34], append([]byte{1, 1, 1, 1}, options[34:]...)...)
	options[14] = 0x46
	if !pass(options) {
		t.Error("IP options do not pass")
	}
	for name, spoil := range map[string]func(f []byte){
		"TCP":      func(f []byte) { f[23] = 6 },
		"port 68":  func(f []byte) { f[37] = 68 },
		"fragment": func(f []byte) { f[21] = 7 },
	} {
		f := goodFrame(t)
		spoil(f)
		if pass(f) {
			t.Errorf("%s passes", name)
		}
	}
	for kind, want := range map[uint32]bool{0: true, 1: true, 2: true, 3: false, 4: false} {
		vm, err := bpf.NewVM(append([]bpf.Instruction{bpf.LoadConstant{Val: kind}}, program[1:]...))
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := vm.Run(goodFrame(t)); n > 0 != want {
			t.Errorf("packet type %d passes: %v", kind, n > 0)
		}
	}
}

func TestQueue(t *testing.T) {
	var q queue
	next, in := byte(0), new(slot)
	push := func() (dropped bool) {
		in.buf[0], in.buf[1] = next, byte(rand.Int())
		next++
		in, dropped = q.push(in)
		return dropped
	}
	for range queueLength {
		if push() {
			t.Fatal("dropped before it is full")
		}
	}
	for range 3 {
		if !push() {
			t.Fatal("nothing dropped when full")
		}
	}
	if q.len != queueLength {
		t.Fatalf("length %d", q.len)
	}
	seen := map[*slot]bool{in: true}
	for i := range queueLength {
		s := q.pop()
		if s.buf[0] != byte(i+3) {
			t.Fatalf("entry %d is %d, want %d: the oldest are to go", i, s.buf[0], byte(i+3))
		}
		if seen[s] {
			t.Fatal("a buffer is queued twice")
		}
		seen[s] = true
		q.release(s)
	}
	if q.pop() != nil {
		t.Fatal("more than was put in")
	}
	before := len(q.free)
	push()
	if len(q.free) != before-1 {
		t.Error("a free buffer is not used again")
	}
}
