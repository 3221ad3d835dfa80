package dhcp

import (
	"math/rand/v2"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/sluice-nfv/sluice/appliance/wire/wiretest"
)

// TestMutated sends requests with some bytes changed, cut or repeated through
// the whole server, from packet to answer: no panic, no answer to a stranger,
// nobody else's address, no growth.
func TestMutated(t *testing.T) {
	var seeds [][]byte
	for _, f := range frames(t) {
		seeds = append(seeds, f)
	}
	for _, h := range holes {
		seeds = append(seeds, requestFrame(h.msg, mac(webMAC), everywhere))
	}
	seeds = append(seeds, requestFrame(message(t, webMAC, dhcpv4.MessageTypeRequest, usual, withServer(serverIP), withWanted(webIP)).ToBytes(), mac(webMAC), everywhere))
	wiretest.Mutated(t, 300_000, 1<<20, func() func(*rand.Rand, int) {
		d := newDesk(t, guestNetwork())
		return func(random *rand.Rand, count int) { answerMutated(t, d, random, seeds, count) }
	})
}

// answerMutated has a server answer count mutated packets.
func answerMutated(t *testing.T, d *desk, random *rand.Rand, seeds [][]byte, count int) {
	out, buf := make([]byte, maxFrame), make([]byte, 0, 2*maxFrame)
	for range count {
		f := mutate(random, append(buf[:0], seeds[random.IntN(len(seeds))]...))
		size := d.answer(d.config, f, true, d.now, out)
		if d.count(panicked) != 0 {
			t.Errorf("panic on %x", f)
			return
		}
		if size == 0 {
			continue
		}
		b := d.config.bindings.find(hw(out[payload+offChaddr:]))
		if b == nil || ip4(out[payload+offYiaddr:]) != b.ip && ip4(out[payload+offYiaddr:]) != noAddress {
			t.Errorf("a wrong answer to %x", f)
			return
		}
		if stranger(d.config, f) {
			t.Errorf("taken for a stranger: %x", f)
			return
		}
	}
}

// mutate changes a frame in one to four places, mostly in the message.
func mutate(random *rand.Rand, f []byte) []byte {
	for range 1 + random.IntN(4) {
		from := payload
		if random.IntN(10) == 0 {
			from = 0
		} else if random.IntN(3) > 0 {
			from = min(payload+offOptions, len(f)-1)
		}
		if from < 0 || from >= len(f) { // nothing left
			return f
		}
		at := from + random.IntN(len(f)-from)
		switch random.IntN(6) {
		case 0:
			f[at] = byte(random.Uint32())
		case 1:
			f[at] ^= 1 << random.IntN(8)
		case 2:
			f[at] = []byte{0, 1, 255, 254, 128, 52, 53, 55, 61, 82}[random.IntN(10)]
		case 3:
			f = f[:at]
		case 4: // a part again
			n := min(random.IntN(64), len(f)-at, maxFrame-len(f))
			if n > 0 {
				f = append(f[:at+n], f[at:]...)
			}
		default: // a part gone
			n := min(random.IntN(64), len(f)-at)
			f = append(f[:at], f[at+n:]...)
		}
	}
	if len(f) >= payload && random.IntN(4) > 0 { // so that it gets further
		put16(f[16:], uint16(len(f)-ethHeader))
		put16(f[38:], uint16(len(f)-ethHeader-ipHeader))
		put16(f[24:], 0)
		put16(f[24:], ^naiveSum(f[14:34]))
	}
	return f
}
