package netfilter

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"go4.org/netipx"
	"golang.org/x/sys/unix"
)

// encode gives the elements of a set as the kernel takes them: each part of a
// key or value padded to 4 bytes, in network order.
func encode(set string, e dataplane.Elements) []nftables.SetElement {
	switch set {
	case setPublic:
		return list(e.Public, func(link string, _ struct{}) []nftables.SetElement {
			return []nftables.SetElement{{Key: ifname(link)}}
		})
	case setGuests:
		return list(e.Guests, func(p netip.Prefix, _ struct{}) []nftables.SetElement {
			return []nftables.SetElement{{Key: p.Masked().Addr().AsSlice()}, {Key: netipx.PrefixLastIP(p).Next().AsSlice(), IntervalEnd: true}}
		})
	case setInbound:
		return list(e.Inbound, encodePair)
	case setOutbound:
		return list(e.Outbound, encodePair)
	case setWays:
		return list(e.Ways, func(guest netip.Addr, mark uint32) []nftables.SetElement {
			return []nftables.SetElement{{Key: guest.AsSlice(), Val: binary.NativeEndian.AppendUint32(nil, mark)}}
		})
	case setForward:
		return list(e.Forward, encodeForward)
	case setLimited:
		return list(e.Limited, encodeForward)
	case setGrants:
		return list(e.Grants, encodeGrant)
	}
	return nil
}

func list[K comparable, V any](m map[K]V, f func(K, V) []nftables.SetElement) []nftables.SetElement {
	out := make([]nftables.SetElement, 0, len(m))
	for k, v := range m {
		out = append(out, f(k, v)...)
	}
	return out
}

func encodePair(from, to netip.Addr) []nftables.SetElement {
	return []nftables.SetElement{{Key: from.AsSlice(), Val: to.AsSlice()}}
}

func encodeForward(at dataplane.Endpoint, to dataplane.Target) []nftables.SetElement {
	return []nftables.SetElement{{
		Key: appendPort(append(at.Addr.AsSlice(), at.Protocol, 0, 0, 0), at.Port),
		Val: appendPort(to.Addr.AsSlice(), to.Port),
	}}
}

func encodeGrant(g dataplane.Grant, _ struct{}) []nftables.SetElement {
	half := func(port uint16, source netip.Addr) []byte {
		return append(appendPort(append(g.VIP.AsSlice(), g.Protocol, 0, 0, 0), port), source.AsSlice()...)
	}
	return []nftables.SetElement{{
		Key: half(g.First, g.Source.Masked().Addr()), KeyEnd: half(g.Last, netipx.PrefixLastIP(g.Source)),
	}}
}

func appendPort(b []byte, port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(b, port), 0, 0)
}

func ifname(link string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, link)
	return b
}

// decode is the reverse; it fails on what encode never makes, which only a
// stranger can have put there.
func decode(set string, elements []nftables.SetElement, e *dataplane.Elements) error {
	if set == setGuests {
		return decodeGuests(elements, e.Guests)
	}
	for _, x := range elements {
		if len(x.Key) != keySize[set] || len(x.Val) != valueSize[set] {
			return fmt.Errorf("strange element in set %s", set)
		}
		switch set {
		case setPublic:
			e.Public[string(bytes.TrimRight(x.Key, "\x00"))] = struct{}{}
		case setInbound:
			e.Inbound[addr(x.Key)] = addr(x.Val)
		case setOutbound:
			e.Outbound[addr(x.Key)] = addr(x.Val)
		case setWays:
			e.Ways[addr(x.Key)] = binary.NativeEndian.Uint32(x.Val)
		case setForward:
			e.Forward[endpoint(x.Key)] = target(x.Val)
		case setLimited:
			e.Limited[endpoint(x.Key)] = target(x.Val)
		case setGrants:
			if err := decodeGrant(x, e.Grants); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	keySize   = map[string]int{setPublic: unix.IFNAMSIZ, setInbound: 4, setOutbound: 4, setWays: 4, setForward: 12, setLimited: 12, setGrants: 16}
	valueSize = map[string]int{setInbound: 4, setOutbound: 4, setWays: 4, setForward: 8, setLimited: 8}
)

func addr(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b[:4])) }

func endpoint(b []byte) dataplane.Endpoint {
	return dataplane.Endpoint{Addr: addr(b), Protocol: b[4], Port: binary.BigEndian.Uint16(b[8:])}
}

func target(b []byte) dataplane.Target {
	return dataplane.Target{Addr: addr(b), Port: binary.BigEndian.Uint16(b[4:])}
}

func decodeGrant(x nftables.SetElement, to map[dataplane.Grant]struct{}) error {
	if len(x.KeyEnd) != len(x.Key) {
		return fmt.Errorf("grant without an end")
	}
	source, ok := netipx.IPRangeFrom(addr(x.Key[12:]), addr(x.KeyEnd[12:])).Prefix()
	first, last := endpoint(x.Key), endpoint(x.KeyEnd)
	if !ok || first.Addr != last.Addr || first.Protocol != last.Protocol {
		return fmt.Errorf("grant that is no prefix")
	}
	to[dataplane.Grant{VIP: first.Addr, Protocol: first.Protocol, First: first.Port, Last: last.Port, Source: source}] = struct{}{}
	return nil
}

// decodeGuests pairs starts and ends; where one network ends and the next
// begins, the end comes first.
func decodeGuests(elements []nftables.SetElement, to map[netip.Prefix]struct{}) error {
	slices.SortFunc(elements, func(a, b nftables.SetElement) int {
		return cmp.Or(bytes.Compare(a.Key, b.Key), cmp.Compare(rank(a), rank(b)))
	})
	var start netip.Addr
	for _, x := range elements {
		if len(x.Key) != 4 || x.IntervalEnd && !start.IsValid() || !x.IntervalEnd && start.IsValid() {
			return fmt.Errorf("strange interval in set %s", setGuests)
		}
		if !x.IntervalEnd {
			start = addr(x.Key)
			continue
		}
		p, ok := netipx.IPRangeFrom(start, addr(x.Key).Prev()).Prefix()
		if !ok {
			return fmt.Errorf("interval from %s in set %s is no prefix", start, setGuests)
		}
		to[p], start = struct{}{}, netip.Addr{}
	}
	if start.IsValid() {
		return fmt.Errorf("interval from %s in set %s without an end", start, setGuests)
	}
	return nil
}

func rank(e nftables.SetElement) int {
	if e.IntervalEnd {
		return 0
	}
	return 1
}
