package eip

import (
	"fmt"
	"net/netip"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Edit is what of Want a change removes and adds. next is the content that it
// leads to, of which it is known to be good; what needs a nic that is not there
// is left out.
func (s Service) Edit(_ agentv1.Content, ch agentv1.Change, links dataplane.Links) dataplane.Edit {
	return dataplane.Edit{Remove: s.want(ch.EIPs.Remove, links), Add: s.want(ch.EIPs.Add, links)}
}

func (s Service) want(eips []agentv1.EIP, links dataplane.Links) (w dataplane.Want) {
	for _, e := range eips {
		s.add(&w, e, links)
	}
	return w
}

// Claims are the public addresses that a content's EIPs take, each with its nic:
// a change is checked against them at its own cost.
type Claims map[netip.Addr]string

// NewClaims are those of a content that Want finds good.
func NewClaims(c agentv1.Content) Claims {
	all := make(Claims, len(c.EIPs))
	for _, e := range c.EIPs {
		all[e.VIP] = e.Interface
	}
	return all
}

// Check refuses what Want would of the content that the change leads to; only
// that content's head is looked at. The error is a *dataplane.FieldError.
func (k Claims) Check(next agentv1.Content, ch agentv1.Change) error {
	free := map[netip.Addr]bool{}
	for _, e := range ch.EIPs.Remove {
		free[e.VIP] = true
	}
	for i, e := range ch.EIPs.Add {
		at := fmt.Sprintf("/change/eips/add/%d", i)
		if err := validate(next, at, e); err != nil {
			return err
		}
		gone, known := free[e.VIP]
		if _, taken := k[e.VIP]; known && !gone || taken && !gone {
			return dataplane.Fieldf(at+"/vip", "%s is another EIP's", e.VIP)
		}
		free[e.VIP] = false
	}
	return nil
}

// Take takes a change along.
func (k Claims) Take(ch agentv1.Change) {
	for _, e := range ch.EIPs.Remove {
		delete(k, e.VIP)
	}
	for _, e := range ch.EIPs.Add {
		k[e.VIP] = e.Interface
	}
}

// Nic is the MAC of the nic that has to carry an address; empty: none.
func (k Claims) Nic(vip netip.Addr) string { return k[vip] }
