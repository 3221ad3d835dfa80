package dhcp

import (
	"encoding/binary"
	"errors"
)

// Layout of a BOOTP message (RFC 951, RFC 2131 section 2).
const (
	offFlags   = 10
	offCiaddr  = 12
	offYiaddr  = 16
	offSiaddr  = 20
	offGiaddr  = 24
	offChaddr  = 28
	offSname   = 44
	offFile    = 108
	offCookie  = 236
	offOptions = 240

	snameLen = offFile - offSname
	fileLen  = offCookie - offFile

	opRequest, opReply = 1, 2
	htypeEthernet      = 1
	broadcastFlag      = 0x8000

	// minMessage is the least a BOOTP implementation may expect (RFC 1542 section 2.1).
	minMessage = 300
)

var magicCookie = [4]byte{99, 130, 83, 99}

// Message types, option 53 (RFC 2132 section 9.6).
const (
	typeDiscover = 1
	typeOffer    = 2
	typeRequest  = 3
	typeDecline  = 4
	typeAck      = 5
	typeNak      = 6
	typeRelease  = 7
	typeInform   = 8
)

// hw is an Ethernet address; ip4 an IPv4 address in wire order. Both are
// arrays so that they compare and hash without allocating.
type (
	hw  [6]byte
	ip4 [4]byte
)

var (
	noAddress = ip4{}
	limited   = ip4{255, 255, 255, 255}
	everyone  = hw{255, 255, 255, 255, 255, 255}
)

// request is a parsed message of a client. Its slices point into the packet or
// into joined, and die with the packet.
type request struct {
	xid       [4]byte
	flags     uint16
	ciaddr    ip4
	giaddr    ip4
	chaddr    hw
	kind      byte // option 53
	wanted    ip4  // option 50
	serverID  ip4  // option 54
	hasWanted bool
	hasServer bool
	// maxSize is option 57 in bytes of IP datagram; 0 where absent.
	maxSize   uint16
	params    []byte // option 55
	clientID  []byte // option 61
	relayInfo []byte // option 82

	// Raw values until they are checked.
	rawKind, rawWanted, rawServer, rawSize []byte
	overload                               byte
	// joined holds options that came in several parts (RFC 3396).
	joined [1024]byte
	used   int
}

var (
	errShort    = errors.New("message is shorter than the fixed header")
	errNotBoot  = errors.New("not a request over Ethernet")
	errCookie   = errors.New("no DHCP options")
	errOptions  = errors.New("an option runs past the end")
	errOverload = errors.New("option 52 is not 1, 2 or 3")
	errJoin     = errors.New("options in parts are longer than 1024 bytes")
	errLength   = errors.New("an option has a wrong length")
	errKind     = errors.New("no message type")
)

// parse reads a BOOTP/DHCP message (the UDP payload) into r. It allocates
// nothing. Unknown options are skipped; the same option given several times is
// one value in parts (RFC 3396 section 7); options go on in file and sname when
// option 52 says so (RFC 2131 section 4.1).
func parse(msg []byte, r *request) error {
	if len(msg) < offCookie {
		return errShort
	}
	if msg[0] != opRequest || msg[1] != htypeEthernet || msg[2] != 6 {
		return errNotBoot
	}
	if len(msg) < offOptions || [4]byte(msg[offCookie:offOptions]) != magicCookie {
		return errCookie
	}
	r.header(msg)
	if err := r.options(msg[offOptions:], true); err != nil {
		return err
	}
	if r.overload&1 != 0 {
		if err := r.options(msg[offFile:offCookie], false); err != nil {
			return err
		}
	}
	if r.overload&2 != 0 {
		if err := r.options(msg[offSname:offFile], false); err != nil {
			return err
		}
	}
	return r.check()
}

// header resets r and takes the fixed fields. joined keeps its old bytes: used
// says what counts, and clearing it would be most of the work here.
func (r *request) header(msg []byte) {
	r.xid = [4]byte(msg[4:8])
	r.flags = binary.BigEndian.Uint16(msg[offFlags:])
	r.ciaddr = ip4(msg[offCiaddr:offYiaddr])
	r.giaddr = ip4(msg[offGiaddr:offChaddr])
	r.chaddr = hw(msg[offChaddr : offChaddr+6])
	r.kind, r.wanted, r.serverID, r.hasWanted, r.hasServer, r.maxSize = 0, ip4{}, ip4{}, false, false, 0
	r.params, r.clientID, r.relayInfo = nil, nil, nil
	r.rawKind, r.rawWanted, r.rawServer, r.rawSize = nil, nil, nil, nil
	r.overload, r.used = 0, 0
}

// options walks one area of options. Only the main one may overload others.
func (r *request) options(b []byte, main bool) error {
	for len(b) > 0 {
		code := b[0]
		if code == optPad {
			b = b[1:]
			continue
		}
		if code == optEnd {
			return nil
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return errOptions
		}
		value := b[2 : 2+int(b[1])]
		b = b[2+int(b[1]):]
		if err := r.option(code, value, main); err != nil {
			return err
		}
	}
	return nil // a missing End is common in old boot ROMs
}

func (r *request) option(code byte, value []byte, main bool) error {
	switch code {
	case optRequestedIP:
		return r.join(&r.rawWanted, value)
	case optMessageType:
		return r.join(&r.rawKind, value)
	case optServerID:
		return r.join(&r.rawServer, value)
	case optMaxSize:
		return r.join(&r.rawSize, value)
	case optParameters:
		return r.join(&r.params, value)
	case optClientID:
		return r.join(&r.clientID, value)
	case optRelayInfo:
		return r.join(&r.relayInfo, value)
	case optOverload:
		if !main {
			return nil
		}
		if len(value) != 1 || value[0] < 1 || value[0] > 3 {
			return errOverload
		}
		r.overload = value[0]
	}
	return nil
}

// join appends a part to an option's value: the first part stays in the packet.
func (r *request) join(value *[]byte, part []byte) error {
	if *value == nil {
		*value = part
		return nil
	}
	n := len(*value) + len(part)
	if r.used+n > len(r.joined) {
		return errJoin
	}
	whole := r.joined[r.used : r.used : r.used+n]
	whole = append(append(whole, *value...), part...)
	r.used += n
	*value = whole
	return nil
}

// check takes the options of fixed length (RFC 2132 section 9).
func (r *request) check() error {
	if r.rawKind == nil {
		return errKind
	}
	if len(r.rawKind) != 1 || !lengthOrNone(r.rawWanted, 4) || !lengthOrNone(r.rawServer, 4) || !lengthOrNone(r.rawSize, 2) {
		return errLength
	}
	r.kind = r.rawKind[0]
	if r.rawWanted != nil {
		r.wanted, r.hasWanted = ip4(r.rawWanted), true
	}
	if r.rawServer != nil {
		r.serverID, r.hasServer = ip4(r.rawServer), true
	}
	if r.rawSize != nil {
		r.maxSize = binary.BigEndian.Uint16(r.rawSize)
	}
	return nil
}

func lengthOrNone(value []byte, n int) bool { return value == nil || len(value) == n }
