package model

import (
	"fmt"
	"net/netip"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan/ipam"
)

// Check holds a view against every invariant that the rules keep, and names
// each breach. It reads the rows alone and trusts no index.
func Check(v *View) []error {
	c := &checker{v: v}
	c.references()
	c.owners()
	c.access()
	c.partOf()
	c.offerings()
	c.ranges()
	c.nics()
	c.routers()
	c.vips()
	c.strangers()
	c.mappings()
	return c.breaches
}

type checker struct {
	v        *View
	breaches []error
}

func (c *checker) want(ok bool, format string, args ...any) {
	if !ok {
		c.breaches = append(c.breaches, fmt.Errorf(format, args...))
	}
}

type address struct {
	l3 string
	ip netip.Addr
}

// owners: each address of an L3 network and each MAC has one owner.
func (c *checker) owners() {
	addresses, macs := map[address]string{}, map[string]string{}
	takeIP := func(l3 string, ip netip.Addr, owner string) {
		have, taken := addresses[address{l3, ip}]
		c.want(!taken, "address %s of L3 network %s has two owners: %s and %s", ip, l3, have, owner)
		c.want(c.v.AddressOwner(l3, ip) != "", "address %s of L3 network %s is not in the index", ip, l3)
		addresses[address{l3, ip}] = owner
	}
	takeMAC := func(mac, owner string) {
		have, taken := macs[mac]
		c.want(!taken, "MAC %s has two owners: %s and %s", mac, have, owner)
		macs[mac] = owner
	}
	for n := range List[v1.VMNic](c.v) {
		takeIP(n.L3NetworkUUID, n.IP, n.UUID)
		takeMAC(n.MAC, n.UUID)
	}
	for vip := range List[v1.VIP](c.v) {
		if !vip.System {
			takeIP(vip.L3NetworkUUID, vip.IP, vip.UUID)
		}
	}
	for r := range List[v1.VirtualRouter](c.v) {
		for _, n := range r.Nics {
			takeIP(n.L3NetworkUUID, n.IP, r.UUID)
			takeMAC(n.MAC, r.UUID)
		}
	}
}

// offerings: exactly one default in a zone that has any.
func (c *checker) offerings() {
	defaults := map[string]int{}
	for o := range List[v1.VirtualRouterOffering](c.v) {
		if _, seen := defaults[o.ZoneUUID]; !seen {
			defaults[o.ZoneUUID] = 0
		}
		if o.IsDefault {
			defaults[o.ZoneUUID]++
		}
	}
	for zone, n := range defaults {
		c.want(n == 1, "zone %s has %d default offerings", zone, n)
	}
}

// ranges: those of an L2 are apart; those of an L3 share subnet and gateway.
func (c *checker) ranges() {
	ofL2, ofL3 := map[string][]*v1.IPRange{}, map[string]Subnet{}
	for r := range List[v1.IPRange](c.v) {
		s := Subnet{CIDR: r.NetworkCIDR, Gateway: r.Gateway}
		have, seen := ofL3[r.L3NetworkUUID]
		c.want(!seen || have == s, "ranges of L3 network %s differ in subnet: %v and %v", r.L3NetworkUUID, have, s)
		ofL3[r.L3NetworkUUID] = s
		if l3 := Get[v1.L3Network](c.v, r.L3NetworkUUID); l3 != nil {
			ofL2[l3.L2NetworkUUID] = append(ofL2[l3.L2NetworkUUID], r)
		}
	}
	for l2, all := range ofL2 {
		for i, a := range all {
			for _, b := range all[:i] {
				c.want(!ipam.Overlap(spanOf(a), spanOf(b)), "ranges %s and %s of L2 network %s overlap", a.UUID, b.UUID, l2)
			}
			for _, b := range all {
				c.want(!ipam.Within([]v1.AddressRange{spanOf(a)}, b.Gateway), "range %s holds gateway %s of range %s", a.UUID, b.Gateway, b.UUID)
			}
		}
	}
}

func spanOf(r *v1.IPRange) v1.AddressRange {
	return v1.AddressRange{StartIP: r.StartIP, EndIP: r.EndIP}
}

// nics: one default a VM, addresses in a range and not reserved.
func (c *checker) nics() {
	defaults := map[string]int{}
	for n := range List[v1.VMNic](c.v) {
		defaults[n.VMInstanceUUID] += map[bool]int{true: 1}[n.IsDefault]
		c.allocated("nic", n.UUID, n.L3NetworkUUID, n.IP)
		c.want(checkStaticRoutes(c.v, n) == nil, "nic %s has routes %v, which are refused", n.UUID, n.StaticRoutes)
	}
	for vm, n := range defaults {
		c.want(n == 1, "VM %s has %d default nics", vm, n)
	}
}

func (c *checker) allocated(what, uuid, l3 string, ip netip.Addr) {
	pool := poolOf(c.v, l3)
	c.want(pool.InRange(ip) && !pool.IsReserved(ip), "%s %s has %s, which L3 network %s does not hand out", what, uuid, ip, l3)
}

// routers: one a guest network, with nics in order; those that are wanted
// share no wire address with anyone on the L2.
func (c *checker) routers() {
	served := map[string]string{}
	for r := range List[v1.VirtualRouter](c.v) {
		c.want(served[r.L3NetworkUUID] == "", "L3 network %s has two routers: %s and %s", r.L3NetworkUUID, served[r.L3NetworkUUID], r.UUID)
		served[r.L3NetworkUUID] = r.UUID
		c.want(len(r.Nics) > 0 && r.Nics[0].HasRole(RoleManagement), "router %s has no management nic first", r.UUID)
		for i, n := range r.Nics {
			c.want(n.Name == fmt.Sprintf("eth%d", i), "nic %d of router %s is called %s", i, r.UUID, n.Name)
			for _, other := range r.Nics[:i] {
				c.want(!other.Prefix.Overlaps(n.Prefix), "nics %s and %s of router %s overlap", other.Name, n.Name, r.UUID)
			}
		}
		if r.WantedState != v1.StateDestroyed {
			c.wantedRouter(r)
		}
	}
}

func (c *checker) wantedRouter(r *v1.VirtualRouter) {
	l3 := Get[v1.L3Network](c.v, r.L3NetworkUUID)
	if l3 == nil {
		return // references said so
	}
	management, _ := SubnetOf(c.v, r.Nics[0].L3NetworkUUID)
	if m := Get[v1.L3Network](c.v, r.Nics[0].L3NetworkUUID); m != nil {
		c.want(checkManagementRoutes(m, management, prefixesOf(r.Nics)...) == nil, "router %s cannot take the routes of its management network: %v", r.UUID, m.HostRoutes)
	}
	c.want(hasRouterService(l3), "router %s serves L3 network %s, which has no service of it", r.UUID, l3.UUID)
	for _, n := range r.Nics {
		subnet, ok := SubnetOf(c.v, n.L3NetworkUUID)
		c.want(ok && subnet.CIDR == n.Prefix && subnet.IsHost(n.IP), "nic %s of router %s has %s of %s, the network is %s", n.Name, r.UUID, n.IP, n.Prefix, subnet)
		if n.HasRole(RoleGuest) && l3.HasService(v1.SNAT) {
			want := subnet.Gateway
			if l3.RouterInterfaceIP.IsValid() {
				want = l3.RouterInterfaceIP
			}
			c.want(n.IP == want, "router %s with SNAT has %s for its guests, not %s", r.UUID, n.IP, want)
		}
	}
}

// vips: useFor and a router's own address are kept right.
func (c *checker) vips() {
	for vip := range List[v1.VIP](c.v) {
		c.want(slices.Equal(vip.UseFor, usesOf(c.v, vip)), "VIP %s says %v, used for %v", vip.UUID, vip.UseFor, usesOf(c.v, vip))
		if !vip.System {
			c.allocated("VIP", vip.UUID, vip.L3NetworkUUID, vip.IP)
			continue
		}
		if r := Get[v1.VirtualRouter](c.v, vip.VirtualRouterUUID); r != nil {
			nic, _ := r.NicWithRole(RolePublic)
			c.want(nic.IP == vip.IP, "system VIP %s is %s, its router %s", vip.UUID, vip.IP, nic.IP)
		}
	}
}
