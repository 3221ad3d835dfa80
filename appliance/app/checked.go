package app

import (
	"fmt"
	"slices"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/agent"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// checked is a good content with all that its entries take, so that a change of
// it is checked at the cost of the change.
type checked struct {
	services Services
	content  agentv1.Content
	claims   []Claims
	// inputs are the router's own open ports, which no list changes.
	inputs []dataplane.Input
}

func newChecked(s Services, c agentv1.Content, inputs []dataplane.Input) *checked {
	k := &checked{services: s, content: c, inputs: inputs}
	for _, of := range s.Claims {
		k.claims = append(k.claims, of(c))
	}
	return k
}

// Change implements agent.Checked.
func (k *checked) Change(next agentv1.Content, ch agentv1.Change) error {
	if err := k.check(next, ch); err != nil {
		return invalid(err)
	}
	k.take(ch)
	if err := k.carried(ch); err != nil { // what is freed by one is taken by another
		k.take(ch.Reversed())
		return invalid(err)
	}
	k.content = next
	return nil
}

func (k *checked) take(ch agentv1.Change) {
	for _, c := range k.claims {
		c.Take(ch)
	}
}

func (k *checked) check(next agentv1.Content, ch agentv1.Change) error {
	for _, s := range k.services.Servers {
		if c, ok := s.(Changer); ok {
			if err := c.CheckChange(k.content, ch); err != nil {
				return err
			}
		} else if len(ch.DHCP)+len(ch.DNS) > 0 {
			if _, err := s.Want(next, named(next)); err != nil {
				return err
			}
		}
	}
	for _, c := range k.claims {
		if err := c.Check(next, ch); err != nil {
			return err
		}
	}
	return k.own(next, ch)
}

// own refuses to take ports from the router itself.
func (k *checked) own(next agentv1.Content, ch agentv1.Change) error {
	for i, f := range ch.PortForwardings.Add {
		nic, _ := next.Interface(f.Interface)
		for _, in := range k.inputs {
			if in.Link == nic.Name && in.Protocol == f.Protocol && f.VIPPortStart <= in.Port && in.Port <= f.VIPPortEnd {
				return dataplane.Fieldf(fmt.Sprintf("/change/portForwardings/add/%d/vipPortStart", i),
					"%s ports %d-%d of %s would take port %d on %s from the router itself (%s)",
					f.Protocol, f.VIPPortStart, f.VIPPortEnd, f.VIP, in.Port, in.Link, in.Owner)
			}
		}
	}
	return nil
}

// carried refuses an address that two services want on two nics.
func (k *checked) carried(ch agentv1.Change) error {
	for i, e := range ch.EIPs.Add {
		if slices.ContainsFunc(k.claims, func(c Claims) bool { nic := c.Nic(e.VIP); return nic != "" && nic != e.Interface }) {
			return dataplane.Fieldf(fmt.Sprintf("/change/eips/add/%d/interface", i), "%s is wanted on another nic, too", e.VIP)
		}
	}
	for i, f := range ch.PortForwardings.Add {
		if slices.ContainsFunc(k.claims, func(c Claims) bool { nic := c.Nic(f.VIP); return nic != "" && nic != f.Interface }) {
			return dataplane.Fieldf(fmt.Sprintf("/change/portForwardings/add/%d/interface", i), "%s is wanted on another nic, too", f.VIP)
		}
	}
	return nil
}

var _ agent.Checked = (*checked)(nil)
