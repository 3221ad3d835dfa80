package dns

import (
	"bytes"
	"crypto/rand"
	"sync"
)

// maxServerCookie is the longest part of a cookie that is the server's, in
// bytes (RFC 7873 §4.2).
const maxServerCookie = 32

// jar has the cookie of one upstream (RFC 7873 §5.1): our part is random, and
// an answer with another one is forged; the server's part is what it sent last.
type jar struct {
	mu     sync.Mutex
	made   bool
	client [clientCookieLen]byte
	server []byte
}

// option is the cookie as an EDNS option.
func (j *jar) option() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.made {
		rand.Read(j.client[:]) //nolint:errcheck // never fails: it ends the process instead
		j.made = true
	}
	n := len(j.client) + len(j.server)
	return append(append([]byte{0, optionCookie, 0, byte(n)}, j.client[:]...), j.server...)
}

// accept looks at the options of an answer: false if it has a cookie that is
// not ours. One without is taken, because many servers have none, and farms
// of servers have them on some. The server's part is kept.
func (j *jar) accept(options []byte) bool {
	for len(options) >= 4 {
		n := int(be16(options[2:]))
		if len(options) < 4+n {
			return false
		}
		value := options[4 : 4+n]
		if be16(options) == optionCookie {
			return j.learn(value)
		}
		options = options[4+n:]
	}
	return true
}

func (j *jar) learn(value []byte) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	server := len(value) - clientCookieLen
	if server < 0 || server > maxServerCookie || !bytes.Equal(value[:clientCookieLen], j.client[:]) {
		return false
	}
	if server >= clientCookieLen { // shorter ones are none (§4.2)
		j.server = bytes.Clone(value[clientCookieLen:])
	}
	return true
}
