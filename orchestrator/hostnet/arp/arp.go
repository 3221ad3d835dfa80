// Package arp asks an Ethernet link who has an IPv4 address before somebody
// takes it (RFC 5227, Address Conflict Detection).
//
// The times are shorter than the RFC's, which are those of a host that nobody
// waits for: all that is asked answers from a bridge of this machine or a
// switch away, and a router is waited for. A host that answers later than that
// is not found.
package arp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// Probes of one address, the pause between two (PROBE_NUM and PROBE_MIN of RFC
// 5227 section 1.1), and how long answers to the last are waited for
// (ANNOUNCE_WAIT).
const (
	Probes  = 3
	Spacing = 60 * time.Millisecond
	Wait    = 80 * time.Millisecond
)

// Longest is how long WhoHas takes at most.
const Longest = (Probes-1)*Spacing + Wait

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// WhoHas asks on a device of this machine who has the addresses, and returns
// the MACs, in lower case, of those that answered. Probes have no sender
// address, so that nobody's table is changed by them. It takes Longest, or until
// all have answered.
func WhoHas(ctx context.Context, device string, ips []netip.Addr) (map[netip.Addr]string, error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("ask who has addresses: device %s: %w", device, err)
	}
	answers, err := own(link, ips)
	if err != nil || len(answers) == len(ips) {
		return answers, err
	}
	conn, err := packet.Listen(link, packet.Raw, unix.ETH_P_ARP, nil)
	if err != nil {
		return nil, fmt.Errorf("ask who has addresses on %s: %w", device, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	q := &question{conn: conn, link: link, ips: ips, answers: answers}
	if err := q.ask(); err != nil {
		return nil, fmt.Errorf("ask who has addresses on %s: %w", device, err)
	}
	return answers, ctx.Err()
}

// own are those of the addresses that the device itself has: a machine does not
// answer itself.
func own(link *net.Interface, ips []netip.Addr) (map[netip.Addr]string, error) {
	answers := map[netip.Addr]string{}
	addrs, err := link.Addrs()
	if err != nil {
		return nil, fmt.Errorf("read addresses of %s: %w", link.Name, err)
	}
	for _, a := range addrs {
		have, err := netip.ParsePrefix(a.String())
		for _, ip := range ips {
			if err == nil && have.Addr() == ip {
				answers[ip] = link.HardwareAddr.String()
			}
		}
	}
	return answers, nil
}

// question is one round of probes.
type question struct {
	conn    *packet.Conn
	link    *net.Interface
	ips     []netip.Addr
	answers map[netip.Addr]string
}

func (q *question) ask() error {
	for n := range Probes {
		for _, ip := range q.ips {
			if q.answers[ip] != "" {
				continue
			}
			if _, err := q.conn.WriteTo(probe(q.link.HardwareAddr, ip), &packet.Addr{HardwareAddr: broadcast}); err != nil {
				return err
			}
		}
		wait := Spacing
		if n == Probes-1 {
			wait = Wait
		}
		if done, err := q.listen(time.Now().Add(wait)); done || err != nil {
			return err
		}
	}
	return nil
}

// listen reads until a time, or until all have answered, or somebody ended it.
func (q *question) listen(until time.Time) (done bool, err error) {
	if err := q.conn.SetReadDeadline(until); err != nil {
		return false, err
	}
	frame := make([]byte, 1514)
	for len(q.answers) < len(q.ips) {
		n, _, err := q.conn.ReadFrom(frame)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return time.Now().Before(until), nil
		}
		if err != nil {
			return false, err
		}
		q.hear(frame[:n])
	}
	return true, nil
}

// The layout of ARP for IPv4 over Ethernet (RFC 826), in a frame.
const (
	typeAt, hardwareAt, protocolAt, sizesAt, operationAt = 12, 14, 16, 18, 20
	senderMACAt, senderIPAt, targetMACAt, targetIPAt     = 22, 28, 32, 38
	length                                               = 42
	shortest                                             = 60 // of frames, without their check sum
)

// hear takes up any ARP packet by which somebody says that he has an address
// (RFC 5227 section 2.1.1): a reply, or a request of his own.
func (q *question) hear(frame []byte) {
	if len(frame) < length || binary.BigEndian.Uint16(frame[protocolAt:]) != unix.ETH_P_IP || frame[sizesAt] != 6 || frame[sizesAt+1] != 4 {
		return
	}
	mac, ip := net.HardwareAddr(frame[senderMACAt:senderIPAt]).String(), netip.AddrFrom4([4]byte(frame[senderIPAt:targetMACAt]))
	if mac == q.link.HardwareAddr.String() {
		return
	}
	for _, asked := range q.ips {
		if asked == ip {
			q.answers[ip] = mac
		}
	}
}

// probe is a request with an all-zero sender address (RFC 5227 section 2.1).
func probe(from net.HardwareAddr, ip netip.Addr) []byte {
	f := make([]byte, shortest)
	copy(f, broadcast)
	copy(f[6:], from)
	binary.BigEndian.PutUint16(f[typeAt:], unix.ETH_P_ARP)
	binary.BigEndian.PutUint16(f[hardwareAt:], 1) // Ethernet
	binary.BigEndian.PutUint16(f[protocolAt:], unix.ETH_P_IP)
	f[sizesAt], f[sizesAt+1] = 6, 4
	binary.BigEndian.PutUint16(f[operationAt:], 1) // request
	copy(f[senderMACAt:], from)
	target := ip.As4()
	copy(f[targetIPAt:], target[:])
	return f
}
