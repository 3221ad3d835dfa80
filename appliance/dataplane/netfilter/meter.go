package netfilter

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Meters reads what packets counted. It changes nothing and may be called
// beside anything else.
func (d *Door) Meters() (m dataplane.Meters, err error) {
	m = dataplane.Meters{VIPs: map[netip.Addr]dataplane.Traffic{}, Ports: map[dataplane.Endpoint]dataplane.Traffic{}}
	err = d.conns.do(func(c *nftables.Conn) error { return readMeters(c, m) })
	return m, err
}

func readMeters(c *nftables.Conn, m dataplane.Meters) error {
	for _, set := range newLayout().sets {
		if set.Name != setCalled && set.Name != setCalling && set.Name != setForwarded {
			continue
		}
		elements, err := c.GetSetElements(set)
		if err != nil {
			return fmt.Errorf("read set %s: %w", set.Name, err)
		}
		for _, x := range elements {
			if x.Counter != nil {
				meter(m, set.Name, x.Key, dataplane.Count{Packets: x.Counter.Packets, Bytes: x.Counter.Bytes})
			}
		}
	}
	return nil
}

func meter(m dataplane.Meters, set string, key []byte, n dataplane.Count) {
	const original = 0 // IP_CT_DIR_ORIGINAL
	switch {
	case set == setForwarded && len(key) == 16:
		t := m.Ports[endpoint(key)]
		t.Add(n, key[12] == original)
		m.Ports[endpoint(key)] = t
	case set != setForwarded && len(key) == 8:
		t := m.VIPs[addr(key)]
		t.Add(n, (key[4] == original) == (set == setCalled))
		m.VIPs[addr(key)] = t
	}
}

// unmetered are the counters of mappings that go, by set: who gets the address
// or port next begins with none.
func unmetered(s dataplane.SetMappings) map[string][]nftables.SetElement {
	gone := map[string][]nftables.SetElement{}
	for vip := range s.Del.Inbound {
		if _, moved := s.Add.Inbound[vip]; !moved {
			for _, set := range []string{setCalled, setCalling} {
				gone[set] = append(gone[set], bothWays(vip.AsSlice())...)
			}
		}
	}
	ports := maps.Clone(s.Del.Forward)
	maps.Copy(ports, s.Del.Limited)
	for at := range ports {
		_, open := s.Add.Forward[at]
		if _, limited := s.Add.Limited[at]; open || limited {
			continue
		}
		key := encodeForward(at, dataplane.Target{Addr: at.Addr})[0].Key
		gone[setForwarded] = append(gone[setForwarded], bothWays(key)...)
	}
	return gone
}

// bothWays are a key's elements for the two directions of a connection.
func bothWays(key []byte) []nftables.SetElement {
	original := append(slices.Clone(key), 0, 0, 0, 0)
	reply := append(slices.Clone(key), 1, 0, 0, 0)
	return []nftables.SetElement{{Key: original}, {Key: reply}}
}

// held is how long a guest is held for once: the agent looks again before.
const held = 10 * time.Second

// Hold keeps guests from new connections for a while; those they have go on. It
// may be called beside anything else.
func (d *Door) Hold(guests []netip.Addr) error {
	var elements []nftables.SetElement
	for _, g := range guests {
		elements = append(elements, nftables.SetElement{Key: g.AsSlice(), Timeout: held})
	}
	return d.conns.do(func(c *nftables.Conn) error {
		for _, set := range newLayout().sets {
			if set.Name == setHeld {
				// Adding what is there does not make it last longer: anew.
				return renew(c, set, elements)
			}
		}
		return nil
	})
}

// renew puts elements in whose time begins now, whether they were there or not.
func renew(c *nftables.Conn, set *nftables.Set, elements []nftables.SetElement) error {
	for _, queue := range []func(*nftables.Set, []nftables.SetElement) error{c.SetAddElements, c.SetDeleteElements, c.SetAddElements} {
		if err := queue(set, elements); err != nil {
			return fmt.Errorf("encode elements of %s: %w", set.Name, err)
		}
	}
	return c.Flush()
}
