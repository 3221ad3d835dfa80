package nl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// pace is how many addresses are announced before a breath, so that no nic's
// queue overflows.
const pace = 200

// Announce sends gratuitous ARP (RFC 5227 section 3) for IPv4 addresses: a
// request and a reply each, because some neighbours heed only the one. It goes
// on after one that fails.
func (d *Door) Announce(ctx context.Context, addresses []dataplane.LinkAddress) error {
	fd, err := d.packetSocket()
	if err != nil {
		return err
	}
	links := map[string]netlink.Link{}
	var errs []error
	for i, at := range addresses {
		if links[at.Link] == nil {
			if links[at.Link], err = netlink.LinkByName(at.Link); err != nil {
				return fmt.Errorf("find link %s: %w", at.Link, err)
			}
		}
		if err := announce(fd, links[at.Link], at.Prefix.Addr()); err != nil {
			errs = append(errs, fmt.Errorf("announce %s on %s: %w", at.Prefix.Addr(), at.Link, err))
		}
		if i%pace == pace-1 {
			if err := ctx.Err(); err != nil {
				return errors.Join(append(errs, err)...)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return errors.Join(errs...)
}

func (d *Door) packetSocket() (int, error) {
	if d.packets == nil {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return 0, fmt.Errorf("open packet socket: %w", err)
		}
		d.packets = os.NewFile(uintptr(fd), "packet")
	}
	return int(d.packets.Fd()), nil
}

func announce(fd int, l netlink.Link, address netip.Addr) error {
	mac := l.Attrs().HardwareAddr
	if len(mac) != 6 || !address.Is4() {
		return errors.New("not IPv4 on Ethernet")
	}
	to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: l.Attrs().Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	for _, operation := range []uint16{1, 2} {
		if err := unix.Sendto(fd, gratuitous(operation, mac, address), 0, to); err != nil {
			return err
		}
	}
	return nil
}

// gratuitous is an ARP packet (RFC 826) about address from mac.
func gratuitous(operation uint16, mac []byte, address netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4} // Ethernet, IPv4, and their lengths
	b = binary.BigEndian.AppendUint16(b, operation)
	b = append(append(b, mac...), address.AsSlice()...)
	target := make([]byte, 6) // unknown in a request
	if operation == 2 {
		target = mac
	}
	return append(append(b, target...), address.AsSlice()...)
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
