package model

import (
	"crypto/x509"
	"net/netip"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan/ipam"
)

// Limits of an L3 network's settings.
const (
	MinMTU        = 576 // what every IPv4 host takes (RFC 791)
	MaxDNS        = 16
	MaxHostRoutes = 64
	MaxDHCPRelays = 16
	MaxDNSTLSCA   = 64 << 10 // bytes of PEM; a dozen authorities
)

// SetDNS replaces the DNS servers; their order is kept all the way to guests.
func SetDNS(tx *Tx, uuid string, dns []netip.Addr) (*v1.L3Network, error) {
	return changeL3(tx, uuid, func(l3 *v1.L3Network) error {
		l3.DNS = orEmpty(slices.Clone(dns))
		return checkDNS(tx.View, l3)
	})
}

// AddDNS appends a DNS server; one that is there already is refused.
func AddDNS(tx *Tx, uuid string, ip netip.Addr) (*v1.L3Network, error) {
	return changeL3(tx, uuid, func(l3 *v1.L3Network) error {
		l3.DNS = append(slices.Clone(l3.DNS), ip)
		return checkDNS(tx.View, l3)
	})
}

// RemoveDNS takes a DNS server away; a missing server or network is fine.
func RemoveDNS(tx *Tx, uuid string, ip netip.Addr) error {
	l3 := Get[v1.L3Network](tx.View, uuid)
	if l3 == nil || !slices.Contains(l3.DNS, ip) {
		return nil
	}
	_, err := SetDNS(tx, uuid, without(l3.DNS, ip))
	return err
}

func checkDNS(v *View, l3 *v1.L3Network) error {
	dns := l3.DNS
	if len(dns) > MaxDNS {
		return v1.Refused("too-many-dns", "%d DNS servers; at most %d fit", len(dns), MaxDNS)
	}
	for i, ip := range dns {
		if err := v1.ValidateIPv4("dns", ip); err != nil {
			return err
		}
		if slices.Contains(dns[:i], ip) {
			return v1.Refused("duplicate-dns", "DNS server %s is there already; give each once", ip)
		}
	}
	return checkServers(v, l3)
}

// checkServers keeps an account from having its router ask in a management
// network, which the router has a nic in and guests must not reach, unless that
// is their way out, too. Servers that an operator has given stay.
func checkServers(v *View, l3 *v1.L3Network) error {
	if v.account == "" {
		return nil
	}
	var before []netip.Addr
	if was := Get[v1.L3Network](v, l3.UUID); was != nil {
		before = was.DNS
	}
	for system := range List[v1.L3Network](v) {
		if system.Category != v1.System || isPublic(v, system.UUID) {
			continue
		}
		for _, ip := range l3.DNS {
			if !slices.Contains(before, ip) && isBehind(v, system, ip) {
				return v1.Refused("dns-in-management-network", "DNS server %s is in a network of the cloud's own; use another, or ask an operator", ip)
			}
		}
	}
	return nil
}

// isPublic reports whether a network is some offering's way out.
func isPublic(v *View, l3 string) bool {
	for o := range List[v1.VirtualRouterOffering](v) {
		if o.PublicNetworkUUID == l3 {
			return true
		}
	}
	return false
}

// isBehind reports whether routers reach an address by their nic in a network.
func isBehind(v *View, l3 *v1.L3Network, ip netip.Addr) bool {
	subnet, _ := SubnetOf(v, l3.UUID)
	return subnet.CIDR.Contains(ip) || slices.ContainsFunc(l3.HostRoutes, func(r v1.HostRoute) bool { return r.Prefix.Contains(ip) })
}

// SetDNSTLS says how the DNS servers prove who they are.
func SetDNSTLS(tx *Tx, uuid string, t v1.DNSOverTLS) (*v1.L3Network, error) {
	return changeL3(tx, uuid, func(l3 *v1.L3Network) error {
		l3.DNSOverTLS = t
		return checkDNSTLS(t)
	})
}

func checkDNSTLS(t v1.DNSOverTLS) error {
	if t.DNSTLSName == "" {
		if t.DNSTLSCA != "" {
			return v1.Invalid("invalid-dns-tls", "dnsTlsCa without dnsTlsName: say whom the certificates vouch for")
		}
		return nil
	}
	if _, err := netip.ParseAddr(t.DNSTLSName); err != nil {
		if err := v1.ValidateDNSName(t.DNSTLSName); err != nil {
			return err
		}
	}
	if n := len(t.DNSTLSCA); n > MaxDNSTLSCA {
		return v1.Refused("dns-tls-ca-too-long", "dnsTlsCa has %d bytes; at most %d fit: give only the certificates that vouch for these servers", n, MaxDNSTLSCA)
	}
	if t.DNSTLSCA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.DNSTLSCA)) {
		return v1.Invalid("invalid-dns-tls", "dnsTlsCa has no certificate in PEM form")
	}
	return nil
}

// SetHostRoutes replaces the static routes given to guests; of a System network,
// those by which its routers reach orchestrators.
func SetHostRoutes(tx *Tx, uuid string, routes []v1.HostRoute) (*v1.L3Network, error) {
	return changeL3(tx, uuid, func(l3 *v1.L3Network) error {
		l3.HostRoutes = orEmpty(slices.Clone(routes))
		if err := checkHostRoutes(l3.HostRoutes); err != nil {
			return err
		}
		return checkRoutersRoutes(tx.View, l3)
	})
}

func checkHostRoutes(routes []v1.HostRoute) error {
	if len(routes) > MaxHostRoutes {
		return v1.Refused("too-many-host-routes", "%d host routes; at most %d fit", len(routes), MaxHostRoutes)
	}
	seen := map[netip.Prefix]bool{}
	for _, r := range routes {
		if err := v1.ValidateCIDR("prefix", r.Prefix); err != nil {
			return err
		}
		if err := v1.ValidateIPv4("nexthop", r.NextHop); err != nil {
			return err
		}
		if seen[r.Prefix] {
			return v1.Refused("duplicate-host-route", "host route %s is given twice; give each prefix once", r.Prefix)
		}
		seen[r.Prefix] = true
	}
	return nil
}

// SetDHCPRelays replaces the relay agents whose DHCP messages the router
// answers. A relay has an address of its own on its clients' link, so it is
// none of a guest or of the router (address-in-use).
func SetDHCPRelays(tx *Tx, uuid string, relays []netip.Addr) (*v1.L3Network, error) {
	return changeL3(tx, uuid, func(l3 *v1.L3Network) error {
		l3.DHCPRelays = slices.Clone(relays)
		return checkDHCPRelays(tx.View, l3)
	})
}

func checkDHCPRelays(v *View, l3 *v1.L3Network) error {
	if n := len(l3.DHCPRelays); n > MaxDHCPRelays {
		return v1.Refused("too-many-dhcp-relays", "%d DHCP relays; at most %d fit", n, MaxDHCPRelays)
	}
	for i, ip := range l3.DHCPRelays {
		if err := v1.ValidateIPv4("dhcpRelays", ip); err != nil {
			return err
		}
		if slices.Contains(l3.DHCPRelays[:i], ip) {
			return v1.Refused("duplicate-dhcp-relay", "DHCP relay %s is given twice; give each once", ip)
		}
		if owner := ownerOnL2(v, l3.L2NetworkUUID, ip); owner != "" {
			return v1.Conflict("address-in-use", "DHCP relay %s is the address of something else; give the relay's own", ip).On(owner)
		}
	}
	return nil
}

// SetMTU sets the MTU of guests, 576 bytes to what the L2 network carries.
func SetMTU(tx *Tx, uuid string, mtu int) (*v1.L3Network, error) {
	return changeL3(tx, uuid, func(l3 *v1.L3Network) error {
		l3.MTU = mtu
		return checkMTU(tx.View, mtu, Get[v1.L2Network](tx.View, l3.L2NetworkUUID))
	})
}

func checkMTU(v *View, mtu int, l2 *v1.L2Network) error {
	if top := MaxMTU(v, l2); mtu < MinMTU || mtu > top {
		return v1.Refused("invalid-mtu", "mtu %d is not between %d and %d, what L2 network %q carries", mtu, MinMTU, top, l2.Name).On(l2.UUID)
	}
	return nil
}

// SetReservedRanges replaces the ranges that are never allocated. Refused: one
// outside the network (range-outside-network), or one with an address in use
// (address-in-use).
func SetReservedRanges(tx *Tx, uuid string, reserved []v1.AddressRange) (*v1.L3Network, error) {
	return changeL3(tx, uuid, func(l3 *v1.L3Network) error {
		l3.ReservedRanges = slices.Clone(reserved)
		return checkReservedRanges(tx.View, l3)
	})
}

func checkReservedRanges(v *View, l3 *v1.L3Network) error {
	subnet, _ := SubnetOf(v, l3.UUID)
	for _, r := range l3.ReservedRanges {
		if err := checkReserved(v, l3, subnet, r); err != nil {
			return err
		}
	}
	return nil
}

func checkReserved(v *View, l3 *v1.L3Network, subnet Subnet, r v1.AddressRange) error {
	for _, ip := range []netip.Addr{r.StartIP, r.EndIP} {
		if err := v1.ValidateIPv4("reserved range", ip); err != nil {
			return err
		}
		if !subnet.CIDR.Contains(ip) {
			return v1.Refused("range-outside-network", "reserved address %s is outside L3 network %q (%s)", ip, l3.Name, subnet).On(l3.UUID)
		}
	}
	if r.EndIP.Less(r.StartIP) {
		return v1.Refused("range-reversed", "reserved range %s to %s ends before it starts", r.StartIP, r.EndIP)
	}
	pool := poolOf(v, l3.UUID)
	for ip, owner := range v.UsedAddresses(l3.UUID, r.StartIP) {
		if r.EndIP.Less(ip) {
			break
		}
		if pool.InRange(ip) {
			return v1.Conflict("address-in-use", "%s of the reserved range is in use; free it first or reserve around it", ip).On(owner)
		}
	}
	return nil
}

// SetRouterInterfaceIP fixes the router's address on the network; the zero
// address gives the choice back. It is inside the network's CIDR and outside
// every range of the L2. A router that is there already moves to it and is
// rebuilt.
func SetRouterInterfaceIP(tx *Tx, uuid string, ip netip.Addr) (*v1.L3Network, error) {
	l3, err := need[v1.L3Network](tx.View, uuid)
	if err != nil || l3.RouterInterfaceIP == ip {
		return l3, err
	}
	if ip.IsValid() {
		if err := checkRouterInterfaceIP(tx.View, l3, ip); err != nil {
			return nil, err
		}
	}
	trial := Copy(l3)
	trial.RouterInterfaceIP = ip
	changed, err := replanFor(tx.View, trial)
	if err != nil {
		return nil, err
	}
	return trial, tx.atomic(func() error {
		tx.Save(trial)
		return commitReplan(tx, changed)
	})
}

func checkRouterInterfaceIP(v *View, l3 *v1.L3Network, ip netip.Addr) error {
	if err := v1.ValidateIPv4("routerInterfaceIp", ip); err != nil {
		return err
	}
	subnet, ok := SubnetOf(v, l3.UUID)
	if !ok || !subnet.IsHost(ip) {
		return v1.Refused("router-ip-outside-network", "routerInterfaceIp %s is not a host address of L3 network %q (%s)", ip, l3.Name, subnet).On(l3.UUID)
	}
	for other := range Related[v1.L3Network](v, L3sOfL2, l3.L2NetworkUUID) {
		if ipam.Within(poolOf(v, other.UUID).Ranges, ip) {
			return v1.Refused("router-ip-in-range", "routerInterfaceIp %s is inside a range of L3 network %q; choose one outside every range", ip, v.nameFor(other)).On(other.UUID)
		}
	}
	if owner := ownerOnL2(v, l3.L2NetworkUUID, ip); owner != "" && owner != routerUUID(RouterOf(v, l3.UUID)) {
		return v1.Conflict("address-in-use", "routerInterfaceIp %s is in use; choose another", ip).On(owner)
	}
	return nil
}
