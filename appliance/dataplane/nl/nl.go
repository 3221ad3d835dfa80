// Package nl is the door to links, addresses, routes and tracked connections
// of the network namespace of the calling thread, by netlink. Addresses and
// routes that it adds bear Protocol, and only such ones count as ours.
package nl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Protocol marks addresses (IFA_PROTO, Linux 5.18) and routes as ours.
// iproute2 shows it as "proto 83".
const Protocol = 83

// attempts at a dump that the kernel interrupted because something changed
// meanwhile; such a dump is not the truth.
const attempts = 5

func retry[T any](dump func() (T, error)) (T, error) {
	var v T
	var err error
	for range attempts {
		if v, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return v, err
}

// Door reads and changes links, addresses and routes. All of it is read anew
// only after somebody changed something. It is not for concurrent use.
type Door struct {
	watch *watch
	seen  dataplane.State // while the watch is quiet
	index map[string]int  // of links, by name
	// handle keeps its socket: one a change costs more than the change.
	handle *netlink.Handle
}

// Forget makes the next Observe read everything.
func (d *Door) Forget() { *d = Door{} }

// Observe fills in Links, Addresses, Routes and Rules, for reading only.
func (d *Door) Observe(ctx context.Context, s *dataplane.State) error {
	if d.watch == nil {
		w, err := newWatch()
		if err != nil {
			return err
		}
		d.watch = w // before reading: what changes meanwhile is read again the next time
	}
	quiet, err := d.watch.quiet()
	if err == nil && (!quiet || d.seen.Links == nil) {
		err = d.read(ctx)
	}
	if err != nil {
		d.Forget()
		return err
	}
	s.Links, s.Addresses, s.Routes, s.Rules = d.seen.Links, d.seen.Addresses, d.seen.Routes, d.seen.Rules
	return nil
}

func (d *Door) read(ctx context.Context) error {
	links, err := retry(netlink.LinkList)
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	s := dataplane.State{Links: map[string]dataplane.LinkState{}}
	names, index := map[int]string{}, map[string]int{}
	for _, l := range links {
		a := l.Attrs()
		names[a.Index], index[a.Name] = a.Name, a.Index
		if a.Flags&net.FlagLoopback == 0 {
			s.Links[a.Name] = dataplane.LinkState{MAC: a.HardwareAddr.String(), Up: a.Flags&net.FlagUp != 0, MTU: a.MTU}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := errors.Join(observeAddresses(&s, names), observeRoutes(&s, names), observeRules(&s)); err != nil {
		return err
	}
	d.seen, d.index = s, index
	return nil
}

func observeAddresses(s *dataplane.State, names map[int]string) error {
	addrs, err := retry(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	s.Addresses = map[dataplane.LinkAddress]dataplane.AddressState{}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP.To4())
		if bits, _ := a.Mask.Size(); ok && s.Links[names[a.LinkIndex]].MAC != "" {
			at := dataplane.LinkAddress{Link: names[a.LinkIndex], Prefix: netip.PrefixFrom(ip, bits)}
			s.Addresses[at] = dataplane.AddressState{Ours: a.Protocol == Protocol}
		}
	}
	return nil
}

func observeRoutes(s *dataplane.State, names map[int]string) error {
	// All tables come anyway; most routes are those of the router's own addresses.
	filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	routes, err := retry(func() (routes []netlink.Route, err error) {
		err = netlink.RouteListFilteredIter(netlink.FAMILY_V4, filter, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			if r.Table == unix.RT_TABLE_MAIN || ofWay(r.Table) {
				routes = append(routes, r)
			}
			return true
		})
		return routes, err
	})
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	s.Routes = map[dataplane.Route]dataplane.RouteState{}
	for _, r := range routes {
		at := dataplane.Route{Link: names[r.LinkIndex], Prefix: prefixOf(r.Dst)}
		if r.Table != unix.RT_TABLE_MAIN {
			at.Table = r.Table
		}
		at.Gateway, _ = netip.AddrFromSlice(r.Gw.To4())
		isSubnet := !at.Gateway.IsValid() && r.Scope == netlink.SCOPE_LINK
		if r.Priority == 0 && r.Type == unix.RTN_UNICAST && (at.Gateway.IsValid() || isSubnet) {
			s.Routes[at] = dataplane.RouteState{Ours: r.Protocol == Protocol}
		}
	}
	return nil
}

func prefixOf(dst *net.IPNet) netip.Prefix {
	if dst == nil {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	a, _ := netip.AddrFromSlice(dst.IP.To4())
	bits, _ := dst.Mask.Size()
	return netip.PrefixFrom(a, bits)
}

// SetLink brings a link up with an MTU in bytes; 0 leaves it.
func SetLink(name string, mtu int) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if mtu != 0 && l.Attrs().MTU != mtu {
		if err := netlink.LinkSetMTU(l, mtu); err != nil {
			return fmt.Errorf("set mtu of %s: %w", name, err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// AddAddress adds an address of ours; one that is there is fine.
func (d *Door) AddAddress(at dataplane.LinkAddress) error {
	l, err := d.link(at.Link)
	if err != nil {
		return err
	}
	a := &netlink.Addr{IPNet: ipNet(at.Prefix), Protocol: Protocol}
	if err := d.handle.AddrAdd(l, a); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// DelAddress removes an address; a missing one, or link, is fine.
func (d *Door) DelAddress(at dataplane.LinkAddress) error {
	l, err := d.link(at.Link)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	err = d.handle.AddrDel(l, &netlink.Addr{IPNet: ipNet(at.Prefix)})
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
		return err
	}
	return nil
}

// link finds a link for the handle. Ten thousand addresses are not to ask for
// theirs ten thousand times: while nobody changed anything that has one name,
// the index that was read stands, and a link that went takes it along for good.
func (d *Door) link(name string) (netlink.Link, error) {
	if d.handle == nil {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return nil, fmt.Errorf("open netlink socket: %w", err)
		}
		d.handle = h
	}
	if i, ok := d.index[name]; ok {
		return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: name, Index: i}}, nil
	}
	l, err := d.handle.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", name, err)
	}
	return l, nil
}

// AddRoute makes a route of ours; source may be unset.
func AddRoute(r dataplane.Route, source netip.Addr) error {
	l, err := netlink.LinkByName(r.Link)
	if err != nil {
		return fmt.Errorf("find link %s: %w", r.Link, err)
	}
	n := route(l, r)
	n.Src = source.AsSlice()
	return netlink.RouteAdd(n)
}

// DelRoute removes a route; a missing one, or link, is fine.
func DelRoute(r dataplane.Route) error {
	l, err := netlink.LinkByName(r.Link)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find link %s: %w", r.Link, err)
	}
	if err := netlink.RouteDel(route(l, r)); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

func route(l netlink.Link, r dataplane.Route) *netlink.Route {
	n := &netlink.Route{Table: r.Table, LinkIndex: l.Attrs().Index, Gw: r.Gateway.AsSlice(), Protocol: Protocol, Dst: ipNet(r.Prefix)}
	if !r.Gateway.IsValid() {
		n.Scope = netlink.SCOPE_LINK
	}
	return n
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}
