package netfilter

import (
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Meters reads what packets counted. It changes nothing and may be called
// beside anything else.
func Meters() (dataplane.Meters, error) {
	m := dataplane.Meters{VIPs: map[netip.Addr]dataplane.Traffic{}, Ports: map[dataplane.Endpoint]dataplane.Traffic{}}
	c, err := connect()
	if err != nil {
		return m, err
	}
	for _, set := range newLayout().sets {
		if set.Name != setReceived && set.Name != setSent && set.Name != setForwarded {
			continue
		}
		elements, err := c.GetSetElements(set)
		if err != nil {
			return m, fmt.Errorf("read set %s: %w", set.Name, err)
		}
		for _, x := range elements {
			if x.Counter != nil {
				meter(m, set.Name, x.Key, dataplane.Count{Packets: x.Counter.Packets, Bytes: x.Counter.Bytes})
			}
		}
	}
	return m, nil
}

func meter(m dataplane.Meters, set string, key []byte, n dataplane.Count) {
	switch {
	case set == setForwarded && len(key) == 16:
		t := m.Ports[endpoint(key)]
		if key[12] == 0 { // IP_CT_DIR_ORIGINAL
			t.In = n
		} else {
			t.Out = n
		}
		m.Ports[endpoint(key)] = t
	case set != setForwarded && len(key) == 4:
		t := m.VIPs[addr(key)]
		if set == setReceived {
			t.In = n
		} else {
			t.Out = n
		}
		m.VIPs[addr(key)] = t
	}
}

// unmetered are the counters of mappings that go, by set: who gets the address
// or port next begins with none.
func unmetered(s dataplane.SetMappings) map[string][]nftables.SetElement {
	gone := map[string][]nftables.SetElement{}
	for vip := range s.Del.Inbound {
		if _, moved := s.Add.Inbound[vip]; !moved {
			for _, set := range []string{setReceived, setSent} {
				gone[set] = append(gone[set], nftables.SetElement{Key: vip.AsSlice()})
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
		for _, direction := range []byte{0, 1} {
			key := append(encodeForward(at, dataplane.Target{Addr: at.Addr})[0].Key, direction, 0, 0, 0)
			gone[setForwarded] = append(gone[setForwarded], nftables.SetElement{Key: key})
		}
	}
	return gone
}

// held is how long a guest is held for once: the agent looks again before.
const held = 10 * time.Second

// Hold keeps guests from new connections for a while; those they have go on.
func Hold(guests []netip.Addr) error {
	c, err := connect()
	if err != nil {
		return err
	}
	var elements []nftables.SetElement
	for _, g := range guests {
		elements = append(elements, nftables.SetElement{Key: g.AsSlice(), Timeout: held})
	}
	for _, set := range newLayout().sets {
		if set.Name == setHeld {
			// Adding what is there does not make it last longer: anew.
			err = renew(c, set, elements)
		}
	}
	return err
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
