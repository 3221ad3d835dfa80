package dhcp

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"pgregory.net/rapid"
)

// raw builds a message of fixed fields and the given option bytes.
func raw(options ...byte) []byte {
	m := make([]byte, offOptions, offOptions+len(options))
	m[0], m[1], m[2] = opRequest, htypeEthernet, 6
	copy(m[offChaddr:], []byte{2, 0, 0, 0, 0, 10})
	copy(m[offCookie:], magicCookie[:])
	return append(m, options...)
}

func with(m []byte, at int, b ...byte) []byte {
	copy(m[at:], b)
	return m
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		msg  []byte
		want error
	}{
		{"nothing", nil, errShort},
		{"cut in the header", raw()[:200], errShort},
		{"plain BOOTP", raw()[:offCookie], errCookie},
		{"another cookie", with(raw(53, 1, 1), offCookie, 1), errCookie},
		{"an answer", with(raw(53, 1, 1), 0, opReply), errNotBoot},
		{"token ring", with(raw(53, 1, 1), 1, 6), errNotBoot},
		{"long address", with(raw(53, 1, 1), 2, 16), errNotBoot},
		{"no type", raw(50, 4, 1, 2, 3, 4, 255), errKind},
		{"no type, no options", raw(255), errKind},
		{"type of two bytes", raw(53, 2, 1, 1, 255), errLength},
		{"type twice (RFC 3396: one value of two bytes)", raw(53, 1, 1, 53, 1, 1, 255), errLength},
		{"address of five bytes", raw(53, 1, 1, 50, 5, 1, 2, 3, 4, 5), errLength},
		{"server id of three bytes", raw(53, 1, 1, 54, 3, 1, 2, 3), errLength},
		{"size of one byte", raw(53, 1, 1, 57, 1, 3), errLength},
		{"code without length", raw(53, 1, 1, 50), errOptions},
		{"option past the end", raw(53, 1, 1, 50, 4, 1, 2, 3), errOptions},
		{"overload 0", raw(53, 1, 1, 52, 1, 0), errOverload},
		{"overload 4", raw(53, 1, 1, 52, 1, 4), errOverload},
		{"overload of two bytes", raw(53, 1, 1, 52, 2, 1, 1), errOverload},
		{"option past the end of file", with(raw(53, 1, 1, 52, 1, 1), offFile+fileLen-1, 50), errOptions},
		{"client id of 1100 bytes", raw(append(append([]byte{53, 1, 1}, parts(61, 1100)...), 255)...), errJoin},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := parse(tc.msg, &request{}); !errors.Is(err, tc.want) {
				t.Errorf("error is %v, want %v", err, tc.want)
			}
		})
	}
}

// parts gives an option of n bytes as RFC 3396 splits it.
func parts(code byte, n int) []byte {
	v := make([]byte, n)
	for i := range v {
		v[i] = byte(i)
	}
	return encode(code, v)
}

func TestParse(t *testing.T) {
	var r request
	m := raw(53, 1, 3, 0, 0, 55, 2, 1, 3, 50, 4, 10, 1, 0, 10, 55, 1, 6, 57, 2, 5, 220, 54, 4, 10, 1, 0, 1, 255, 53, 1, 7)
	with(m, offFlags, 0x80, 0)
	if err := parse(m, &r); err != nil {
		t.Fatal(err)
	}
	if r.kind != typeRequest || r.wanted != (ip4{10, 1, 0, 10}) || !r.hasWanted || r.serverID != (ip4{10, 1, 0, 1}) || !r.hasServer {
		t.Errorf("parsed %+v", r)
	}
	if !bytes.Equal(r.params, []byte{1, 3, 6}) {
		t.Errorf("option 55 in two parts is %v", r.params)
	}
	if r.maxSize != 1500 || r.flags != broadcastFlag {
		t.Errorf("size %d, flags %x", r.maxSize, r.flags)
	}
	if err := parse(raw(53, 1, 1), &r); err != nil { // nothing of the last one is left
		t.Fatal(err)
	}
	if r.hasWanted || r.hasServer || r.params != nil || r.maxSize != 0 || r.flags != 0 || r.wanted != noAddress {
		t.Errorf("left over: %+v", r)
	}
}

// TestParseOverload: RFC 2131 section 4.1: first the options field, then file,
// then sname.
func TestParseOverload(t *testing.T) {
	for _, tc := range []struct {
		overload byte
		want     []byte
	}{{1, []byte{1, 3}}, {2, []byte{1, 6}}, {3, []byte{1, 3, 6}}} {
		m := raw(53, 1, 1, 55, 1, 1, 52, 1, tc.overload, 255)
		with(m, offFile, 55, 1, 3, 52, 1, 9, 255, 7) // 52 means nothing here, nor does what comes after End
		with(m, offSname, 55, 1, 6, 255)
		var r request
		if err := parse(m, &r); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(r.params, tc.want) {
			t.Errorf("overload %d: option 55 is %v, want %v", tc.overload, r.params, tc.want)
		}
	}
}

// TestParseLikeTheLibrary: whatever options a client sends, in whatever parts,
// we read what insomniacslk/dhcp reads. The library knows no overload.
func TestParseLikeTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var options []byte
		for range rapid.IntRange(0, 12).Draw(t, "options") {
			code := rapid.SampledFrom([]byte{0, 12, 50, 53, 54, 55, 57, 60, 61, 82, 200, 255}).Draw(t, "code")
			if code == optPad || code == optEnd {
				options = append(options, code)
				continue
			}
			n := map[byte]int{50: 4, 53: 1, 54: 4, 57: 2}[code]
			if n == 0 || rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
				n = rapid.IntRange(0, 40).Draw(t, "length")
			}
			options = append(options, code, byte(n))
			options = append(options, rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "value")...)
		}
		if cut := rapid.IntRange(-20, 3).Draw(t, "cut"); cut > 0 && cut < len(options) {
			options = options[:len(options)-cut]
		}
		m := raw(options...)
		for _, at := range []int{4, offFlags, offCiaddr, offGiaddr} {
			copy(m[at:], rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(t, "field"))
		}
		compareWithLibrary(t, m)
	})
}

type failer interface {
	Fatalf(format string, args ...any)
}

func compareWithLibrary(t failer, m []byte) {
	var ours request
	err := parse(m, &ours)
	theirs, libErr := dhcpv4.FromBytes(m)
	if errors.Is(libErr, io.ErrUnexpectedEOF) { // it insists on End, we do not
		theirs, libErr = dhcpv4.FromBytes(append(m[:len(m):len(m)], optEnd))
	}
	if libErr != nil {
		if err == nil {
			t.Fatalf("we read %x, the library says %v", m, libErr)
		}
		return
	}
	o := theirs.Options
	whole := len(o[53]) == 1 && fits(o, 50, 4) && fits(o, 54, 4) && fits(o, 57, 2)
	if (err == nil) != whole {
		t.Fatalf("we say %v about %x, the library reads %v", err, m, theirs)
	}
	if err != nil {
		return
	}
	same := ours.xid == theirs.TransactionID && ours.kind == o[53][0] && bytes.Equal(ours.chaddr[:], theirs.ClientHWAddr) &&
		theirs.ClientIPAddr.Equal(ours.ciaddr[:]) && theirs.GatewayIPAddr.Equal(ours.giaddr[:]) &&
		ours.flags&broadcastFlag != 0 == theirs.IsBroadcast() &&
		bytes.Equal(ours.params, o[55]) && bytes.Equal(ours.clientID, o[61]) && bytes.Equal(ours.relayInfo, o[82]) &&
		(o[50] == nil || bytes.Equal(ours.wanted[:], o[50])) && (o[54] == nil || bytes.Equal(ours.serverID[:], o[54]))
	if !same {
		t.Fatalf("we read %+v, the library %v", ours, theirs)
	}
}

func fits(o dhcpv4.Options, code uint8, n int) bool {
	v, ok := o[code]
	return !ok || len(v) == n
}

// FuzzParse looks for bytes that we and the library read differently.
func FuzzParse(f *testing.F) {
	f.Add(raw(53, 1, 1, 255))
	f.Add(raw(53, 1, 3, 50, 4, 10, 1, 0, 10, 55, 3, 1, 3, 6, 61, 2, 1, 2, 255))
	f.Fuzz(func(t *testing.T, m []byte) {
		if len(m) > offOptions && m[0] == opRequest && m[1] == htypeEthernet && m[2] == 6 && !bytes.Contains(m[offOptions:], []byte{optOverload, 1}) {
			if parts := bytes.Count(m[offOptions:], nil); parts > 1000 {
				return // options in parts beyond our limit
			}
			compareWithLibrary(t, m)
		}
	})
}
