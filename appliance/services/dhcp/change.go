package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// CheckChange refuses bindings that Want would refuse each by itself; what two
// of them cannot both have is refused by Claims. It is pure. The error is a
// *dataplane.FieldError.
func (s *Server) CheckChange(before agentv1.Content, ch agentv1.Change) error {
	for i, e := range ch.DHCP {
		at := fmt.Sprintf("/change/dhcp/%d", i)
		n, ok := networkOn(before, e.Interface)
		if !ok {
			return dataplane.Fieldf(at+"/interface", "%q has no DHCP network", e.Interface)
		}
		if slices.ContainsFunc(ch.DHCP[:i], func(o agentv1.BindingsEdit) bool { return o.Interface == e.Interface }) {
			return dataplane.Fieldf(at+"/interface", "%s is changed twice", e.Interface)
		}
		for j := range e.Bindings.Add {
			if err := validateBinding(at+"/bindings/add", n, e.Bindings.Add, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// Change serves the bindings of next where ch says that they changed, at the
// cost of what changed: sockets, leases and the other bindings are left alone.
// It does what Apply of next would.
func (s *Server) Change(_ context.Context, next agentv1.Content, ch agentv1.Change, _ dataplane.Links) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("change dhcp: server is closed")
	}
	var errs []error
	for _, e := range ch.DHCP {
		n, ok := networkOn(next, e.Interface)
		l := s.listeners[e.Interface]
		if !ok || l == nil {
			return fmt.Errorf("change dhcp: %s is not served", e.Interface)
		}
		c, err := l.config.Load().edited(n, e.Bindings)
		if err != nil {
			return fmt.Errorf("change dhcp on %s: %w", e.Interface, err)
		}
		l.config.Store(c)
		l.memory.forgetOf(e.Bindings.Remove, c, time.Now())
		errs = append(errs, l.fault())
	}
	return errors.Join(errs...)
}

func networkOn(c agentv1.Content, iface string) (agentv1.DHCPNetwork, bool) {
	i := slices.IndexFunc(c.DHCP, func(n agentv1.DHCPNetwork) bool { return n.Interface == iface })
	if i < 0 {
		return agentv1.DHCPNetwork{}, false
	}
	return c.DHCP[i], true
}

// Claims are the MACs and addresses that are bound, by the MAC of the network's
// interface: a change is checked against them at its own cost.
type Claims map[string]*bound

// bound are the MACs and addresses of a network's bindings.
type bound struct {
	macs map[hw]struct{}
	ips  map[ip4]struct{}
}

// NewClaims are those of a content that Want finds good.
func NewClaims(c agentv1.Content) Claims {
	all := make(Claims, len(c.DHCP))
	for _, n := range c.DHCP {
		all[n.Interface] = boundBy(n.Bindings)
	}
	return all
}

func boundBy(list []agentv1.DHCPBinding) *bound {
	b := &bound{make(map[hw]struct{}, len(list)), make(map[ip4]struct{}, len(list))}
	for i := range list {
		b.take(&list[i])
	}
	return b
}

// Check refuses a MAC or an address that the change would have bound twice; each
// binding is known to be good. The error is a *dataplane.FieldError.
func (k Claims) Check(_ agentv1.Content, ch agentv1.Change) error {
	for i, e := range ch.DHCP {
		if b := k[e.Interface]; b != nil {
			if err := b.check(fmt.Sprintf("/change/dhcp/%d/bindings/add", i), e.Bindings); err != nil {
				return err
			}
		}
	}
	return nil
}

// Take takes a change along.
func (k Claims) Take(ch agentv1.Change) {
	for _, e := range ch.DHCP {
		b := k[e.Interface]
		if b == nil {
			continue
		}
		for i := range e.Bindings.Remove {
			b.release(&e.Bindings.Remove[i])
		}
		for i := range e.Bindings.Add {
			b.take(&e.Bindings.Add[i])
		}
	}
}

// Nic is empty: guests have these addresses, not the router.
func (k Claims) Nic(netip.Addr) string { return "" }

func (b *bound) check(at string, e agentv1.Edit[agentv1.DHCPBinding]) error {
	gone, added := boundBy(e.Remove), boundBy(nil)
	for i := range e.Add {
		is := &e.Add[i]
		h, ip := keysOf(is)
		if has(added.macs, h) || has(b.macs, h) && !has(gone.macs, h) {
			return dataplane.Fieldf(fmt.Sprintf("%s/%d/mac", at, i), "%s is bound already", is.MAC)
		}
		if has(added.ips, ip) || has(b.ips, ip) && !has(gone.ips, ip) {
			return dataplane.Fieldf(fmt.Sprintf("%s/%d/ip", at, i), "%v is bound already", is.IP)
		}
		added.take(is)
	}
	return nil
}

func (b *bound) take(s *agentv1.DHCPBinding) {
	h, ip := keysOf(s)
	b.macs[h], b.ips[ip] = struct{}{}, struct{}{}
}

func (b *bound) release(s *agentv1.DHCPBinding) {
	h, ip := keysOf(s)
	delete(b.macs, h)
	delete(b.ips, ip)
}

// keysOf are what a good binding takes.
func keysOf(s *agentv1.DHCPBinding) (hw, ip4) {
	h, _ := parseMAC(s.MAC)
	return h, ip4(s.IP.AsSlice())
}

func has[K comparable](set map[K]struct{}, k K) bool { _, ok := set[k]; return ok }
