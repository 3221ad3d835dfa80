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
	"github.com/vishvananda/netlink/nl"
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
// only after somebody else changed something, or we more than a single address.
// It is not for concurrent use.
type Door struct {
	watch *watch
	seen  dataplane.State // while the watch is quiet
	index map[string]int  // of links, by name
	// sources are the addresses that routes prefer: the kernel removes those
	// routes with the address, without a word.
	sources map[netip.Addr]bool
	// reads counts how often all was read.
	reads uint64
	// routing and packets keep their sockets: one a change costs more than the
	// change, and closing one of packets takes the kernel 20 ms.
	routing *nl.SocketHandle
	pid     uint32 // of routing, as others are told who changed something
	packets *os.File
}

// Forget makes the next Observe read everything.
func (d *Door) Forget() { d.seen = dataplane.State{} }

// Observe fills in Links, Addresses, Routes and Rules, for reading only.
func (d *Door) Observe(ctx context.Context, s *dataplane.State) error {
	if d.watch == nil {
		w, err := newWatch()
		if err != nil {
			return err
		}
		d.watch = w // before reading: what changes meanwhile is read again the next time
	}
	quiet, err := d.watch.quiet(d.pid)
	if err == nil && (!quiet || d.seen.Links == nil) {
		err = d.read(ctx)
	}
	if err != nil {
		d.Forget()
		d.watch = nil
		return err
	}
	s.Links, s.Addresses, s.Routes, s.Rules = d.seen.Links, d.seen.Addresses, d.seen.Routes, d.seen.Rules
	s.Version += d.reads
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
	d.sources = map[netip.Addr]bool{}
	if err := errors.Join(observeAddresses(&s, names), observeRoutes(&s, names, d.sources), observeRules(&s)); err != nil {
		return err
	}
	d.seen, d.index = s, index
	d.reads++
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

func observeRoutes(s *dataplane.State, names map[int]string, sources map[netip.Addr]bool) error {
	// All tables come anyway; most routes are those of the router's own addresses.
	filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	var own []dataplane.LinkAddress // those that are routes
	routes, err := retry(func() (routes []netlink.Route, err error) {
		own = nil
		err = netlink.RouteListFilteredIter(netlink.FAMILY_V4, filter, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			switch {
			case r.Table == unix.RT_TABLE_MAIN || ofWay(r.Table):
				routes = append(routes, r)
			case r.Table == unix.RT_TABLE_LOCAL && r.Protocol == Protocol && r.Type == unix.RTN_LOCAL:
				own = append(own, dataplane.LinkAddress{Link: names[r.LinkIndex], Prefix: prefixOf(r.Dst), Routed: true})
			}
			return true
		})
		return routes, err
	})
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, at := range own {
		s.Addresses[at] = dataplane.AddressState{Ours: true}
	}
	s.Routes = map[dataplane.Route]dataplane.RouteState{}
	for _, r := range routes {
		at := dataplane.Route{Link: names[r.LinkIndex], Prefix: prefixOf(r.Dst)}
		if r.Table != unix.RT_TABLE_MAIN {
			at.Table = r.Table
		}
		at.Gateway, _ = netip.AddrFromSlice(r.Gw.To4())
		if source, ok := netip.AddrFromSlice(r.Src.To4()); ok {
			sources[source] = true
		}
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
