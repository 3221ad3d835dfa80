package portforwarding

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Edit is what of Want a change removes and adds. The content that it leads to
// is known to be good; what needs a nic that is not there is left out.
func (s Service) Edit(_ agentv1.Content, ch agentv1.Change, links dataplane.Links) dataplane.Edit {
	return dataplane.Edit{Remove: s.want(ch.PortForwardings.Remove, links), Add: s.want(ch.PortForwardings.Add, links)}
}

func (s Service) want(rules []agentv1.PortForwarding, links dataplane.Links) (w dataplane.Want) {
	vips := map[carried]bool{}
	for _, f := range rules {
		s.add(&w, f, links, vips)
	}
	return w
}

// Claims are the public ports that a content's rules take, and the nics of their
// addresses: a change is checked against them at its own cost.
type Claims struct {
	ports map[protocolOf][]ports
	vips  map[netip.Addr]carrier
}

type protocolOf struct {
	vip      netip.Addr
	protocol string
}

// ports from first to last; those of an address never overlap, and are sorted.
type ports struct{ first, last uint16 }

// carrier is the nic of an address, and how many rules say so.
type carrier struct {
	nic   string
	rules int
}

// NewClaims are those of a content that Want finds good.
func NewClaims(c agentv1.Content) *Claims {
	k := &Claims{map[protocolOf][]ports{}, map[netip.Addr]carrier{}}
	for _, f := range c.PortForwardings {
		of := protocolOf{f.VIP, f.Protocol}
		k.ports[of] = append(k.ports[of], ports{f.VIPPortStart, f.VIPPortEnd})
		k.vips[f.VIP] = carrier{f.Interface, k.vips[f.VIP].rules + 1}
	}
	for _, all := range k.ports {
		slices.SortFunc(all, func(a, b ports) int { return cmp.Compare(a.first, b.first) })
	}
	return k
}

// Check refuses what Want would of the content that the change leads to; only
// that content's head is looked at. The error is a *dataplane.FieldError.
func (k *Claims) Check(next agentv1.Content, ch agentv1.Change) error {
	e := ch.PortForwardings
	for _, f := range e.Remove {
		k.release(f)
		defer k.claim(f)
	}
	for i, f := range e.Add {
		at := fmt.Sprintf("/change/portForwardings/add/%d", i)
		if err := validate(next, at, f); err != nil {
			return err
		}
		if other, ok := k.overlaps(f); ok {
			return dataplane.Fieldf(at+"/vipPortStart", "%s ports %d-%d and %d-%d of %s overlap",
				f.Protocol, f.VIPPortStart, f.VIPPortEnd, other.first, other.last, f.VIP)
		}
		if c := k.vips[f.VIP]; c.rules > 0 && c.nic != f.Interface {
			return dataplane.Fieldf(at+"/interface", "%s is on nic %s already", f.VIP, c.nic)
		}
		k.claim(f)
		defer k.release(f)
	}
	return nil
}

// Take takes a change along.
func (k *Claims) Take(ch agentv1.Change) {
	for _, f := range ch.PortForwardings.Remove {
		k.release(f)
	}
	for _, f := range ch.PortForwardings.Add {
		k.claim(f)
	}
}

// Nic is the MAC of the nic that has to carry an address; empty: none.
func (k *Claims) Nic(vip netip.Addr) string { return k.vips[vip].nic }

// overlaps is a claim that a rule overlaps.
func (k *Claims) overlaps(f agentv1.PortForwarding) (ports, bool) {
	all := k.ports[protocolOf{f.VIP, f.Protocol}]
	i, _ := slices.BinarySearchFunc(all, f.VIPPortStart, func(p ports, start uint16) int { return cmp.Compare(p.last, start) })
	if i < len(all) && all[i].first <= f.VIPPortEnd { // the first that does not end before
		return all[i], true
	}
	return ports{}, false
}

func (k *Claims) claim(f agentv1.PortForwarding) {
	of := protocolOf{f.VIP, f.Protocol}
	i, _ := slices.BinarySearchFunc(k.ports[of], f.VIPPortStart, byFirst)
	k.ports[of] = slices.Insert(k.ports[of], i, ports{f.VIPPortStart, f.VIPPortEnd})
	k.vips[f.VIP] = carrier{f.Interface, k.vips[f.VIP].rules + 1}
}

func (k *Claims) release(f agentv1.PortForwarding) {
	of := protocolOf{f.VIP, f.Protocol}
	i, found := slices.BinarySearchFunc(k.ports[of], f.VIPPortStart, byFirst)
	if !found {
		return
	}
	if k.ports[of] = slices.Delete(k.ports[of], i, i+1); len(k.ports[of]) == 0 {
		delete(k.ports, of)
	}
	c := k.vips[f.VIP]
	if c.rules--; c.rules == 0 {
		delete(k.vips, f.VIP)
		return
	}
	k.vips[f.VIP] = c
}

func byFirst(p ports, first uint16) int { return cmp.Compare(p.first, first) }
