package dhcp

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

const (
	clientPort = 68
	serverPort = 67

	ethHeader   = 14
	typeIPv4    = 0x0800
	protocolUDP = 17
	payload     = ethHeader + ipHeader + udpHeader
	// maxFrame holds the largest frame received or sent.
	maxFrame = ethHeader + 1500
)

var (
	errFrame    = errors.New("not a whole IPv4 UDP packet to port 67")
	errChecksum = errors.New("wrong checksum")
)

// openFrame checks an Ethernet frame and gives its UDP payload. partial says
// that the sender's kernel left the UDP checksum to a device which never came
// by: between guests of one host a frame never meets hardware, and what is in
// the checksum field is only the sum of the pseudo header. The IP header's sum
// is always complete.
func openFrame(f []byte, partial bool) (msg []byte, m meta, err error) {
	if len(f) < payload || binary.BigEndian.Uint16(f[12:]) != typeIPv4 {
		return nil, m, errFrame
	}
	ip := f[ethHeader:]
	hlen, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	switch {
	case ip[0]>>4 != 4, hlen < ipHeader, total < hlen+udpHeader, total > len(ip):
		return nil, m, errFrame
	case ip[9] != protocolUDP, binary.BigEndian.Uint16(ip[6:])&0x3fff != 0: // a fragment
		return nil, m, errFrame
	}
	udp := ip[hlen:total] // without Ethernet's padding
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if length < udpHeader || length > len(udp) || binary.BigEndian.Uint16(udp[2:]) != serverPort {
		return nil, m, errFrame
	}
	udp = udp[:length]
	if fold(sum(ip[:hlen], 0)) != 0xffff {
		return nil, m, errChecksum
	}
	if !partial && binary.BigEndian.Uint16(udp[6:]) != 0 && fold(sum(udp, pseudo(ip, length))) != 0xffff {
		return nil, m, errChecksum
	}
	m.src = hw(f[6:12])
	m.dst = ip4(ip[16:20])
	return udp[udpHeader:], m, nil
}

// closeFrame writes the headers in front of an n byte message that stands at
// payload, and gives the frame's length.
func closeFrame(c *Config, t target, f []byte, n int) int {
	copy(f, t.mac[:])
	copy(f[6:], c.iface[:])
	binary.BigEndian.PutUint16(f[12:], typeIPv4)
	ip, udp := f[ethHeader:payload+n], f[ethHeader+ipHeader:payload+n]
	// Never fragmented, so the id means nothing (RFC 6864).
	copy(ip, []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocolUDP, 0, 0})
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[12:], c.serverID[:])
	copy(ip[16:], t.ip[:])
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip[:ipHeader], 0)))
	binary.BigEndian.PutUint16(udp, serverPort)
	binary.BigEndian.PutUint16(udp[2:], t.port)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	binary.BigEndian.PutUint16(udp[6:], 0)
	check := ^fold(sum(udp, pseudo(ip, len(udp))))
	if check == 0 { // zero says "no checksum" (RFC 768)
		check = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], check)
	return payload + n
}

// pseudo is the sum of UDP's pseudo header (RFC 768).
func pseudo(ip []byte, length int) uint64 {
	return sum(ip[12:20], 0) + protocolUDP + uint64(length)
}

// sum adds b in 16-bit ones' complement words, eight bytes at a time: the sum
// of wider words folds to the same (RFC 1071).
func sum(b []byte, acc uint64) uint64 {
	for len(b) >= 8 {
		var carry uint64
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), 0)
		acc += carry
		b = b[8:]
	}
	var last [8]byte
	copy(last[:], b)
	acc, carry := bits.Add64(acc, binary.BigEndian.Uint64(last[:]), 0)
	return acc + carry
}

// fold brings a sum to 16 bits.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s&0xffff)
}
