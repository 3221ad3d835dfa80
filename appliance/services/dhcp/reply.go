package dhcp

import "encoding/binary"

const (
	minDatagram = 576 // RFC 2131 section 2: every client takes this much
	ipHeader    = 20
	udpHeader   = 8
)

// nakText tells a person with a packet trace why.
var nakText = encode(optMessage, []byte("the address is not this client's"))

// compose writes the answer to r (the UDP payload) into out and gives its
// length, and whether an option had to be left out for want of room. out holds
// at least Config.maxSize bytes. It allocates nothing.
func compose(c *Config, d decision, r *request, out []byte) (n int, cut bool) {
	clear(out[:offOptions])
	composeHeader(d, r, out)
	w := optionWriter{out: out[:messageLimit(c, r)], at: offOptions, tail: tailSize(r)}
	switch {
	case d.kind == typeNak:
		w.must(c.plain)
		w.must(nakText)
	case d.reason == ackInform:
		w.must(c.plain)
		w.configuration(c, d.binding, r)
	default:
		w.must(c.lease)
		w.configuration(c, d.binding, r)
	}
	out[offOptions+2] = d.kind // option 53 comes first in all three
	n = w.finish(r)
	if n < minMessage {
		clear(out[n:minMessage])
		n = minMessage
	}
	return n, w.cut
}

// composeHeader fills the fixed fields by table 3 of RFC 2131.
func composeHeader(d decision, r *request, out []byte) {
	out[0], out[1], out[2] = opReply, htypeEthernet, 6
	copy(out[4:], r.xid[:])
	binary.BigEndian.PutUint16(out[offFlags:], r.flags)
	copy(out[offGiaddr:], r.giaddr[:])
	copy(out[offChaddr:], r.chaddr[:])
	copy(out[offCookie:], magicCookie[:])
	if d.kind == typeNak {
		if r.giaddr != noAddress { // the relay cannot reach the client at an address
			out[offFlags] |= broadcastFlag >> 8
		}
		return
	}
	if d.toClient {
		copy(out[offCiaddr:], r.ciaddr[:])
	}
	if d.reason != ackInform {
		copy(out[offYiaddr:], d.binding.ip[:])
	}
	if boot := d.binding.boot; boot != nil {
		copy(out[offSiaddr:], boot.siaddr[:])
		copy(out[offSname:], boot.sname)
		copy(out[offFile:], boot.file)
	}
}

// messageLimit is how long the message may be: what the client takes (option
// 57 counts the IP datagram; less than 576 is not legal, RFC 2132 section
// 9.10), never more than the link carries.
func messageLimit(c *Config, r *request) int {
	return min(max(int(r.maxSize), minDatagram), max(c.maxSize, minDatagram)) - ipHeader - udpHeader
}

// tailSize is kept free for what ends the options: overload, client id, relay
// information, End.
func tailSize(r *request) int {
	n := 3 + 1
	if r.clientID != nil {
		n += 2*(len(r.clientID)/255+1) + len(r.clientID)
	}
	if r.relayInfo != nil {
		n += 2*(len(r.relayInfo)/255+1) + len(r.relayInfo)
	}
	return n
}

// optionWriter puts options where there is room: in the options field, then in
// file, then in sname, if these are free (RFC 2131 section 4.1, RFC 3396
// section 5).
type optionWriter struct {
	out  []byte
	at   int
	tail int
	// file and sname are how much of them is used.
	file, sname int
	done        [4]uint64 // codes already written
	cut         bool
}

func (w *optionWriter) seen(code byte) bool { return w.done[code>>6]&(1<<(code&63)) != 0 }
func (w *optionWriter) mark(code byte)      { w.done[code>>6] |= 1 << (code & 63) }

// must writes what always fits: a few bytes at the beginning.
func (w *optionWriter) must(b []byte) {
	w.at += copy(w.out[w.at:], b)
	w.mark(b[0])
}

// configuration writes what was asked for, in the order asked, then what is
// given unasked (RFC 2131 section 4.3.1). With option 121, options 3 and 33
// are left out (RFC 3442); it goes first, so that they stay if it has no room.
func (w *optionWriter) configuration(c *Config, b *binding, r *request) {
	for _, code := range [...]byte{optMessageType, optServerID, optLease, optT1, optT2, optOverload, optClientID, optRelayInfo} {
		w.mark(code)
	}
	w.put(c, b, optMask) // before the router, RFC 2132 section 3.3
	asked := r.params
	if len(asked) == 0 {
		asked = defaultParameters
	}
	for _, code := range asked {
		if code == optClassless && w.put(c, b, code) {
			w.mark(optRouter)
			w.mark(optStaticRoutes)
			break
		}
	}
	for _, code := range asked {
		w.put(c, b, code)
	}
	for _, code := range c.unasked {
		w.put(c, b, code)
	}
	for i := range b.own {
		if b.own[i].unasked {
			w.put(c, b, b.own[i].code)
		}
	}
}

// defaultParameters are for clients that ask for nothing in particular.
var defaultParameters = []byte{optRouter, optDNS, optHostname, optDomain, optMTU, optBroadcast}

// put writes an option once, if there is one, and says whether it did now.
func (w *optionWriter) put(c *Config, b *binding, code byte) bool {
	if w.seen(code) {
		return false
	}
	w.mark(code)
	v := c.option(b, code)
	if v == nil {
		return false
	}
	switch {
	case w.at+len(v)+w.tail <= len(w.out):
		w.at += copy(w.out[w.at:], v)
	case b.boot.fileFree() && w.file+len(v) < fileLen:
		w.file += copy(w.out[offFile+w.file:offCookie], v)
	case b.boot.snameFree() && w.sname+len(v) < snameLen:
		w.sname += copy(w.out[offSname+w.sname:offFile], v)
	default:
		w.cut = true
		return false
	}
	return true
}

func (f *bootFields) fileFree() bool  { return f == nil || len(f.file) == 0 }
func (f *bootFields) snameFree() bool { return f == nil || len(f.sname) == 0 }

// finish ends all areas that are in use. The client's id (RFC 6842) and, last,
// the relay's information (RFC 3046 section 2.2) go back as they came.
func (w *optionWriter) finish(r *request) int {
	overload := byte(0)
	if w.file > 0 {
		overload |= 1
		w.out[offFile+w.file] = optEnd
	}
	if w.sname > 0 {
		overload |= 2
		w.out[offSname+w.sname] = optEnd
	}
	if overload != 0 {
		w.at += copy(w.out[w.at:], []byte{optOverload, 1, overload})
	}
	w.echo(optClientID, r.clientID)
	w.echo(optRelayInfo, r.relayInfo)
	w.out[w.at] = optEnd
	return w.at + 1
}

// echo gives a value of the client's back, in parts where it is long. A client
// that sends more than its own limit has room for gets none of it.
func (w *optionWriter) echo(code byte, v []byte) {
	if v == nil {
		return
	}
	if w.at+len(v)+2*(len(v)/255+1)+1 > len(w.out) {
		w.cut = true
		return
	}
	for {
		n := min(len(v), 255)
		w.out[w.at], w.out[w.at+1] = code, byte(n)
		w.at += 2 + copy(w.out[w.at+2:], v[:n])
		if v = v[n:]; len(v) == 0 {
			return
		}
	}
}
