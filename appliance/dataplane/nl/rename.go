package nl

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/vishvananda/netlink"
)

// Links finds nics by MAC. Of several links with one MAC (a VLAN on a nic, a
// bridge and its port) it takes the one with the lowest index: the nic.
func Links() (dataplane.Links, error) {
	links, err := retry(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	slices.SortFunc(links, func(a, b netlink.Link) int { return a.Attrs().Index - b.Attrs().Index })
	found := dataplane.Links{}
	for _, l := range links {
		mac := l.Attrs().HardwareAddr.String()
		if _, taken := found[mac]; mac != "" && l.Type() != "loopback" && !taken {
			found[mac] = l.Attrs().Name
		}
	}
	delete(found, "00:00:00:00:00:00")
	return found, nil
}

// Rename gives nics (by MAC) names. A name that a stranger has is left to it,
// and the error says so; the rest is renamed.
func Rename(names map[string]string) error {
	have, err := Links()
	if err != nil {
		return err
	}
	moving := map[string]string{} // from, to
	for mac, to := range names {
		if from, ok := have[mac]; ok && from != to {
			moving[from] = to
		}
	}
	var errs []error
	for from, to := range moving {
		if _, moves := moving[to]; moves {
			continue
		}
		if _, err := netlink.LinkByName(to); err == nil {
			errs = append(errs, fmt.Errorf("name %s for %s: taken by another link", to, from))
			delete(moving, from)
		}
	}
	// By way of a name that nobody has, so that names can be exchanged.
	parked := map[string]string{}
	for _, from := range slices.Sorted(maps.Keys(moving)) {
		name, err := park(from)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		parked[name] = moving[from]
	}
	for name, to := range parked {
		errs = append(errs, rename(name, to))
	}
	return errors.Join(errs...)
}

// park gives a link a name by its index, which no other link can have: an agent
// that was killed in the middle of renaming leaves links with such names.
func park(from string) (name string, err error) {
	l, err := netlink.LinkByName(from)
	if err != nil {
		return "", fmt.Errorf("find link %s: %w", from, err)
	}
	name = fmt.Sprintf("sluice-tmp%d", l.Attrs().Index)
	if name == from {
		return name, nil
	}
	return name, rename(from, name)
}

// rename takes a link down for it, as kernels before 6.2 demand, and with it
// its routes, which are put back.
func rename(from, to string) error {
	l, err := netlink.LinkByName(from)
	if err != nil {
		return fmt.Errorf("find link %s: %w", from, err)
	}
	routes, err := retry(func() ([]netlink.Route, error) { return netlink.RouteList(l, netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("list routes of %s: %w", from, err)
	}
	up := l.Attrs().OperState != netlink.OperDown || l.Attrs().RawFlags&1 != 0
	if err := netlink.LinkSetDown(l); err != nil {
		return fmt.Errorf("set %s down: %w", from, err)
	}
	if err := netlink.LinkSetName(l, to); err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	if !up {
		return nil
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %s up: %w", to, err)
	}
	return restore(routes)
}

// restore puts routes back, those to neighbours before those through them.
func restore(routes []netlink.Route) error {
	slices.SortStableFunc(routes, func(a, b netlink.Route) int { return len(a.Gw) - len(b.Gw) })
	var errs []error
	for i := range routes {
		if err := netlink.RouteReplace(&routes[i]); err != nil {
			errs = append(errs, fmt.Errorf("restore route %s: %w", routes[i], err))
		}
	}
	return errors.Join(errs...)
}
