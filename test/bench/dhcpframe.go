package main

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// DHCP message types (RFC 2132 section 9.6).
const (
	msgDiscover = 1
	msgOffer    = 2
	msgRequest  = 3
	msgAck      = 5
)

// Lengths in a frame.
const (
	etherLen = 14
	ipLen    = 20
	udpLen   = 8
	bootpLen = 236 // RFC 951, before the magic cookie
	optionAt = bootpLen + 4
)

func guestMAC(i int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0x95, 0x01, byte(i >> 16), byte(i >> 8), byte(i)}
}

// parameters is what dhclient asks for by default: mask, broadcast, time offset,
// routers, domain, name servers, search, host name, MTU, classless routes.
var parameters = []byte{55, 10, 1, 28, 2, 3, 15, 6, 119, 12, 26, 121}

// discover and request are broadcast frames of a guest that has no address yet.
func discover(xid, guest int) []byte {
	return clientFrame(xid, guest, append([]byte{53, 1, msgDiscover}, parameters...))
}

func request(xid, guest int) []byte {
	ip, server := guestIP(guest).As4(), serverIP.As4()
	o := append([]byte{53, 1, msgRequest, 50, 4}, ip[:]...)
	o = append(append(o, 54, 4), server[:]...)
	return clientFrame(xid, guest, append(o, parameters...))
}

func clientFrame(xid, guest int, options []byte) []byte {
	mac := guestMAC(guest)
	body := make([]byte, bootpLen, 320)
	body[0], body[1], body[2] = 1, 1, 6 // BOOTREQUEST, Ethernet, address length
	binary.BigEndian.PutUint32(body[4:], uint32(xid))
	copy(body[28:], mac)
	body = append(append(append(body, 99, 130, 83, 99), options...), 255)
	for len(body) < 300 { // RFC 1542 section 2.1
		body = append(body, 0)
	}
	f := make([]byte, 0, etherLen+ipLen+udpLen+len(body))
	f = append(f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	f = append(append(f, mac...), 0x08, 0x00)
	ip := make([]byte, ipLen, ipLen+udpLen)
	ip[0], ip[8], ip[9] = 0x45, 64, 17 // version and length, TTL, UDP
	binary.BigEndian.PutUint16(ip[2:], uint16(ipLen+udpLen+len(body)))
	copy(ip[16:], []byte{255, 255, 255, 255})
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	udp := []byte{0, 68, 0, 67, 0, 0, 0, 0} // checksum 0: none (RFC 768)
	binary.BigEndian.PutUint16(udp[4:], uint16(udpLen+len(body)))
	return append(append(append(f, ip...), udp...), body...)
}

// checksum is RFC 1071's.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// answer is what is looked at in a server's message.
type answer struct {
	xid    uint32
	yiaddr netip.Addr
	kind   byte
	server netip.Addr // option 54
}

// openAnswer reads a frame; false if it is no DHCP answer to a client.
func openAnswer(f []byte) (a answer, ok bool) {
	if len(f) < etherLen+ipLen || f[12] != 0x08 || f[13] != 0 || f[etherLen+9] != 17 {
		return a, false
	}
	head := etherLen + int(f[etherLen]&0xf)*4
	if len(f) < head+udpLen+optionAt || binary.BigEndian.Uint16(f[head+2:]) != 68 {
		return a, false
	}
	body := f[head+udpLen:]
	if body[0] != 2 { // BOOTREPLY
		return a, false
	}
	a.xid, a.yiaddr = binary.BigEndian.Uint32(body[4:]), netip.AddrFrom4([4]byte(body[16:20]))
	for o := body[optionAt:]; len(o) >= 2 && o[0] != 255; {
		if o[0] == 0 {
			o = o[1:]
			continue
		}
		n := int(o[1])
		if len(o) < 2+n {
			break
		}
		switch {
		case o[0] == 53 && n == 1:
			a.kind = o[2]
		case o[0] == 54 && n == 4:
			a.server = netip.AddrFrom4([4]byte(o[2:6]))
		}
		o = o[2+n:]
	}
	return a, a.kind != 0
}
