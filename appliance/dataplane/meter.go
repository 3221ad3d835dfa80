package dataplane

import "net/netip"

// Count is packets, and their bytes with IP headers.
type Count struct{ Packets, Bytes uint64 }

// Traffic is what came for a mapping and what it sent.
type Traffic struct{ In, Out Count }

func (t *Traffic) add(u Traffic) {
	t.In.Packets, t.In.Bytes = t.In.Packets+u.In.Packets, t.In.Bytes+u.In.Bytes
	t.Out.Packets, t.Out.Bytes = t.Out.Packets+u.Out.Packets, t.Out.Bytes+u.Out.Bytes
}

// Add adds what came, or was sent.
func (t *Traffic) Add(n Count, came bool) {
	if came {
		t.add(Traffic{In: n})
	} else {
		t.add(Traffic{Out: n})
	}
}

// Meters are the counts of mappings, as the kernel keeps them: each since its
// address, or port, was mapped. What had no traffic is not there.
type Meters struct {
	VIPs  map[netip.Addr]Traffic
	Ports map[Endpoint]Traffic
}

// Forward sums up the ports of a forward; absent is zero.
func (m Meters) Forward(vip netip.Addr, protocol string, first, last uint16) (sum Traffic) {
	for port := int(first); port <= int(last) && len(m.Ports) > 0; port++ {
		sum.add(m.Ports[Endpoint{vip, protocolNumber(protocol), uint16(port)}])
	}
	return sum
}
