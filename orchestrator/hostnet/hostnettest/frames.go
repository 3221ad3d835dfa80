package hostnettest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// etherType is one for local experiments (IEEE 802, clause 9.2.3).
const etherType = 0x88b5

// patience is how long a frame may take; all of them move inside one kernel.
const patience = 200 * time.Millisecond

// Guest is a device with its other end in a bridge, as a guest has it.
func Guest(t *testing.T, name, bridge string) {
	t.Helper()
	Veth(t, name, name+"-br")
	check(t, netlink.LinkSetMaster(Link(t, name+"-br"), Link(t, bridge)))
	setUp(t, name)
	setUp(t, name+"-br")
}

// Seen says on which devices a frame arrived, and with which VLAN; 0: none.
type Seen map[string]int

// Listeners watch devices for frames.
type Listeners struct {
	sockets map[string]int
	sent    int
}

// Listen opens raw sockets on the devices.
func Listen(t *testing.T, devices ...string) *Listeners {
	t.Helper()
	l := &Listeners{sockets: map[string]int{}}
	for _, name := range devices {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(network16(unix.ETH_P_ALL)))
		check(t, err)
		t.Cleanup(func() { _ = unix.Close(fd) })
		check(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network16(unix.ETH_P_ALL), Ifindex: Link(t, name).Attrs().Index}))
		// The kernel takes the tag off a frame and tells it beside it (packet(7)).
		check(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1))
		l.sockets[name] = fd
	}
	return l
}

// Expect sends a broadcast frame, with a VLAN tag if that is not 0, out of a
// device and holds what the other devices receive to what is wanted.
func (l *Listeners) Expect(t *testing.T, from string, tag int, want Seen) {
	t.Helper()
	l.sent++
	mark := fmt.Appendf(nil, "sluice frame %d", l.sent)
	_, err := unix.Write(l.sockets[from], frame(tag, mark))
	check(t, err)
	time.Sleep(patience)
	got := Seen{}
	for name, fd := range l.sockets {
		if vlan, ok := receive(t, fd, mark); ok && name != from {
			got[name] = vlan
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("a frame of VLAN %d out of %s arrived at %v, want %v", tag, from, got, want)
	}
}

func frame(tag int, mark []byte) []byte {
	b := append(bytes.Repeat([]byte{0xff}, 6), 0x02, 0, 0, 0, 0, 1)
	if tag != 0 {
		b = binary.BigEndian.AppendUint16(b, unix.ETH_P_8021Q)
		b = binary.BigEndian.AppendUint16(b, uint16(tag))
	}
	b = binary.BigEndian.AppendUint16(b, etherType)
	return append(append(b, mark...), make([]byte, 46)...)
}

// receive reads what has arrived until the marked frame. A frame that was sent
// here is passed over.
func receive(t *testing.T, fd int, mark []byte) (vlan int, ok bool) {
	t.Helper()
	buf, aux := make([]byte, 2048), make([]byte, 256)
	for {
		n, auxN, _, from, err := unix.Recvmsg(fd, buf, aux, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return 0, false
		}
		if err == unix.EINTR {
			continue
		}
		check(t, err)
		if ll, is := from.(*unix.SockaddrLinklayer); is && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if bytes.Contains(buf[:n], mark) {
			return tagOf(t, buf[:n], aux[:auxN]), true
		}
	}
}

func tagOf(t *testing.T, frame, aux []byte) int {
	t.Helper()
	messages, err := unix.ParseSocketControlMessage(aux)
	check(t, err)
	for _, m := range messages {
		// struct tpacket_auxdata: status, len, snaplen (32 bits each), mac, net, vlan_tci, vlan_tpid (16 each).
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 20 &&
			binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0 {
			return int(binary.NativeEndian.Uint16(m.Data[16:]) & 0xfff)
		}
	}
	if binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_8021Q {
		return int(binary.BigEndian.Uint16(frame[14:]) & 0xfff)
	}
	return 0
}

func network16(n uint16) uint16 { return n<<8 | n>>8 }
