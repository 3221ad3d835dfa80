package bridge

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// moveAddresses moves the IPv4 addresses, and the routes through a link that
// the kernel does not make by itself, to another link. New ones are added
// before old ones are removed: an address may stand on two links, but a host
// without its address is cut off.
func moveAddresses(nl *netlink.Handle, from, to netlink.Link) error {
	addrs, err := nl.AddrList(from, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", from.Attrs().Name, err)
	}
	if len(addrs) == 0 {
		return nil
	}
	routes, err := nl.RouteList(from, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list routes of %s: %w", from.Attrs().Name, err)
	}
	for _, a := range addrs {
		moved := netlink.Addr{IPNet: a.IPNet, Broadcast: a.Broadcast, Scope: a.Scope}
		if err := nl.AddrAdd(to, &moved); err != nil && !errors.Is(err, syscall.EEXIST) {
			return fmt.Errorf("add address %s to %s: %w", a.IPNet, to.Attrs().Name, err)
		}
		if err := nl.AddrDel(from, &a); err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return fmt.Errorf("delete address %s from %s: %w", a.IPNet, from.Attrs().Name, err)
		}
	}
	for _, r := range routes {
		if r.Protocol == unix.RTPROT_KERNEL { // came with the address
			continue
		}
		r.LinkIndex = to.Attrs().Index
		r.Flags &= int(netlink.FLAG_ONLINK) // the kernel refuses to be told what it observes, such as linkdown
		if err := nl.RouteReplace(&r); err != nil {
			return fmt.Errorf("move route %s to %s: %w", r.String(), to.Attrs().Name, err)
		}
	}
	return nil
}
