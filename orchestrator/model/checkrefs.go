package model

import (
	"net/netip"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// refersTo lists what a resource names by kind and UUID.
func refersTo(r v1.Resource) []Key {
	switch r := r.(type) {
	case *v1.Cluster:
		return []Key{{Zones, r.ZoneUUID}}
	case *v1.Host:
		return []Key{{Clusters, r.ClusterUUID}}
	case *v1.L2Network:
		keys := []Key{{Zones, r.ZoneUUID}}
		for _, c := range r.AttachedClusterUUIDs {
			keys = append(keys, Key{Clusters, c})
		}
		for _, made := range r.Realizations {
			keys = append(keys, Key{Hosts, made.HostUUID})
		}
		return keys
	case *v1.L3Network:
		return []Key{{Zones, r.ZoneUUID}, {L2Networks, r.L2NetworkUUID}}
	case *v1.IPRange:
		return []Key{{L3Networks, r.L3NetworkUUID}}
	case *v1.VirtualRouterOffering: // its image may be gone
		return []Key{{Zones, r.ZoneUUID}, {L3Networks, r.ManagementNetworkUUID}, {L3Networks, r.PublicNetworkUUID}}
	case *v1.VirtualRouter:
		return routerRefersTo(r)
	case *v1.VMNic:
		return []Key{{VMs, r.VMInstanceUUID}, {L3Networks, r.L3NetworkUUID}}
	case *v1.VIP:
		return append([]Key{{L3Networks, r.L3NetworkUUID}}, optional(Routers, r.VirtualRouterUUID)...)
	case *v1.EIP:
		return append([]Key{{VIPs, r.VIPUUID}}, optional(Nics, r.VMNicUUID)...)
	case *v1.PortForwardingRule:
		return append([]Key{{VIPs, r.VIPUUID}}, optional(Nics, r.VMNicUUID)...)
	}
	return nil
}

// routerRefersTo: offering and image may be gone, and networks too while the
// router is being destroyed; its host may not, because its domain is there.
func routerRefersTo(r *v1.VirtualRouter) []Key {
	keys := optional(Hosts, r.HostUUID)
	if r.WantedState == v1.StateDestroyed {
		return keys
	}
	keys = append(keys, Key{Zones, r.ZoneUUID}, Key{L3Networks, r.L3NetworkUUID})
	for _, n := range r.Nics {
		keys = append(keys, Key{L3Networks, n.L3NetworkUUID})
	}
	return keys
}

func optional(kind Kind, uuid string) []Key {
	if uuid == "" {
		return nil
	}
	return []Key{{kind, uuid}}
}

// references: nothing names what is not there, in fields or in tags.
func (c *checker) references() {
	for _, kind := range Kinds() {
		for r := range c.v.All(kind, "") {
			m := r.GetMeta()
			for _, k := range refersTo(r) {
				c.want(c.v.Any(k.Kind, k.UUID) != nil, "%s %s refers to %s %q, which is missing", kind.Noun(), m.UUID, k.Kind.Noun(), k.UUID)
			}
			if err := checkTags(c.v, kind, m.SystemTags); err != nil {
				c.want(false, "tags of %s %s: %w", kind.Noun(), m.UUID, err)
			}
		}
	}
}

// mappings: EIPs and rules show their VIP's and nic's addresses; an EIP has
// its VIP alone; rules do not meet; all of a nic's are on one VIP; all reach
// their nic by the router that serves it.
func (c *checker) mappings() {
	users := map[string]int{} // of a VIP
	onVIP := map[string][]*v1.PortForwardingRule{}
	vipOfNic, restricted := map[string]string{}, map[string]string{}
	for f := range List[v1.PortForwardingRule](c.v) {
		c.mapped(f.UUID, f.VIPUUID, f.VIPIP, f.VMNicUUID, f.GuestIP, v1.PortForwarding)
		for _, other := range onVIP[f.VIPUUID] {
			apart := f.Protocol != other.Protocol || f.VIPPortStart > other.VIPPortEnd || other.VIPPortStart > f.VIPPortEnd
			c.want(apart, "rules %s and %s share ports", f.UUID, other.UUID)
		}
		onVIP[f.VIPUUID] = append(onVIP[f.VIPUUID], f)
		users[f.VIPUUID]++
		if f.VMNicUUID != "" {
			c.want(vipOfNic[f.VMNicUUID] == "" || vipOfNic[f.VMNicUUID] == f.VIPUUID, "nic %s has rules on two VIPs", f.VMNicUUID)
			vipOfNic[f.VMNicUUID] = f.VIPUUID
			if f.AllowedCIDR.IsValid() {
				restricted[f.VMNicUUID] = f.UUID
			}
		}
	}
	for e := range List[v1.EIP](c.v) {
		users[e.VIPUUID]++
	}
	for e := range List[v1.EIP](c.v) {
		c.mapped(e.UUID, e.VIPUUID, e.VIPIP, e.VMNicUUID, e.GuestIP, v1.EIPService)
		c.want(users[e.VIPUUID] == 1, "VIP %s of EIP %s has %d users", e.VIPUUID, e.UUID, users[e.VIPUUID])
		c.want(e.VMNicUUID == "" || restricted[e.VMNicUUID] == "", "nic %s has EIP %s and restricted rule %s", e.VMNicUUID, e.UUID, restricted[e.VMNicUUID])
	}
}

func (c *checker) mapped(uuid, vipUUID string, vipIP netip.Addr, nicUUID string, guestIP netip.Addr, service string) {
	vip, nic := Get[v1.VIP](c.v, vipUUID), Get[v1.VMNic](c.v, nicUUID)
	if vip == nil {
		return // references said so
	}
	c.want(vip.IP == vipIP, "%s %s shows VIP %s, which is %s", service, uuid, vipIP, vip.IP)
	if nic == nil {
		c.want(!guestIP.IsValid(), "%s %s shows guest %s without a nic", service, uuid, guestIP)
		return
	}
	c.want(nic.IP == guestIP, "%s %s shows guest %s, whose nic has %s", service, uuid, guestIP, nic.IP)
	l3 := Get[v1.L3Network](c.v, nic.L3NetworkUUID)
	c.want(l3 != nil && l3.HasService(service), "%s %s is on L3 network %s without that service", service, uuid, nic.L3NetworkUUID)
	if r := RouterOf(c.v, nic.L3NetworkUUID); r != nil && r.WantedState != v1.StateDestroyed {
		public, _ := r.NicWithRole(RolePublic)
		c.want(public.L3NetworkUUID == vip.L3NetworkUUID, "%s %s: VIP %s is not on a public network of router %s", service, uuid, vipIP, r.UUID)
	}
}
