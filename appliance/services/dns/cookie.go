package dns

import (
	"encoding/binary"
	"math/bits"
)

// EDNS options.
const (
	optionCookie  = 10 // RFC 7873
	optionPadding = 12 // RFC 7830
	optionEDE     = 15 // RFC 8914
)

// Lengths of a cookie's halves, in bytes (RFC 7873 §4, RFC 9018 §4).
const (
	clientCookieLen = 8
	serverCookieLen = 16
)

// cookieKey makes server cookies. It is random and lives as long as the
// server: a client that comes with an older cookie just gets a new one.
type cookieKey struct{ k0, k1 uint64 }

func newCookieKey(secret [16]byte) cookieKey {
	return cookieKey{binary.LittleEndian.Uint64(secret[:]), binary.LittleEndian.Uint64(secret[8:])}
}

// answer writes the client's cookie and a server cookie as RFC 9018 §4 lays it
// out (version 1, time in seconds, SipHash-2-4 over client cookie, both and the
// client's address) into dst. Cookies are never demanded: what they give here
// is that a guest can tell our answers from forged ones.
func (k cookieKey) answer(dst *[clientCookieLen + serverCookieLen]byte, q *query, addr []byte, unix uint32) []byte {
	copy(dst[:], q.cookie[:])
	dst[8], dst[9], dst[10], dst[11] = 1, 0, 0, 0
	binary.BigEndian.PutUint32(dst[12:], unix)
	var in [16 + 16]byte
	copy(in[:], dst[:16])
	n := 16 + copy(in[16:], addr)
	binary.LittleEndian.PutUint64(dst[16:], k.sipHash(in[:n]))
	return dst[:]
}

// sipHash is SipHash-2-4 (Aumasson, Bernstein 2012).
func (k cookieKey) sipHash(b []byte) uint64 {
	v0, v1 := k.k0^0x736f6d6570736575, k.k1^0x646f72616e646f6d
	v2, v3 := k.k0^0x6c7967656e657261, k.k1^0x7465646279746573
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	last := uint64(len(b)) << 56
	for ; len(b) >= 8; b = b[8:] {
		m := binary.LittleEndian.Uint64(b)
		v3 ^= m
		round()
		round()
		v0 ^= m
	}
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	v3 ^= last
	round()
	round()
	v0 ^= last
	v2 ^= 0xff
	for range 4 {
		round()
	}
	return v0 ^ v1 ^ v2 ^ v3
}
