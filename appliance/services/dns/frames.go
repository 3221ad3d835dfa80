package dns

import (
	"net"
	"time"

	"github.com/sluice-nfv/sluice/appliance/wire/datagram"
)

// maxFrame is the longest query taken over TCP, in bytes.
const maxFrame = 4096

// frames reads queries from a connection, as many at a time as there are.
type frames struct {
	conn   net.Conn
	limits *limits
	// buf[at:end] is read and not taken yet.
	buf     [2 * (2 + maxFrame)]byte
	at, end int
	// pace lets some queries come together while a guest sends them often, one
	// behind the other without waiting; taken are those since the last read.
	pace  *datagram.Pace
	taken int
}

// size is the length of the next query; ok is false until that is known.
func (f *frames) size() (n int, ok bool) {
	if f.end-f.at < 2 {
		return 0, false
	}
	return int(be16(f.buf[f.at:])), true
}

// buffered reports whether the next query is there already.
func (f *frames) buffered() bool {
	n, ok := f.size()
	return ok && f.end-f.at >= 2+n
}

// next takes a query, which stands until the next call. The guest may think for
// tcpIdle, but once it has begun not dawdle.
func (f *frames) next() ([]byte, error) {
	begun := false
	for !f.buffered() {
		if n, ok := f.size(); ok && n > maxFrame {
			return nil, errMalformed
		}
		wait := f.limits.tcpIdle
		if f.end > f.at {
			wait = f.limits.tcpFrame
		}
		if f.end == f.at || !begun {
			if err := f.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
				return nil, err
			}
			begun = f.end > f.at
		}
		f.end = copy(f.buf[:], f.buf[f.at:f.end])
		f.at = 0
		n, err := f.read()
		if err != nil {
			return nil, err
		}
		f.end += n
	}
	f.taken++
	n, _ := f.size()
	frame := f.buf[f.at+2 : f.at+2+n]
	f.at += 2 + n
	return frame, nil
}

// read rests first if that is worth it: not for a guest who waits for each
// answer.
func (f *frames) read() (int, error) {
	if f.taken > 1 {
		f.pace.Rest()
	}
	n, err := f.conn.Read(f.buf[f.end:])
	f.pace.Came(f.taken, f.end+n == len(f.buf))
	f.taken = 0
	return n, err
}
