package model

import (
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Index is a relation that can be asked for with Related.
type Index int

// The indexes; each says what it lists by which key.
const (
	ClustersOfZone Index = iota
	L2sOfZone
	OfferingsOfZone
	HostsOfCluster
	L3sOfL2
	RangesOfL3
	NicsOfL3
	NicsOfVM
	RouterOfGuestL3 // the router that serves the L3 (one at most)
	RoutersOnL3     // routers with any nic on the L3
	RoutersOfHost
	VMsOfHost   // VMs that were seen as domains of the host
	VMsOfDomain // VMs that were seen as the domain
	VIPsOfL3
	VIPsOfRouter // a router's own public address
	EIPsOfVIP
	EIPsOfNic
	ForwardingsOfVIP
	ForwardingsOfNic
	// MACOwners lists the owner (nic or router) of a MAC; ask with MACOwner.
	MACOwners
)

// link says that an index lists a resource under a key, which is the resource's
// own string.
type link struct {
	key      string
	resource v1.Resource
}

// Compare is by key and UUID; no resource comes before all.
func (l link) Compare(o link) int {
	if c := strings.Compare(l.key, o.key); c != 0 {
		return c
	}
	return strings.Compare(uuidOf(l.resource), uuidOf(o.resource))
}

func uuidOf(r v1.Resource) string {
	if r == nil {
		return ""
	}
	return r.GetMeta().UUID
}

// linksOf yields the links of a resource; nil has none.
func linksOf(r v1.Resource, yield func(Index, link)) {
	if r == nil {
		return
	}
	add := func(index Index, key string) {
		if key != "" {
			yield(index, link{key, r})
		}
	}
	m, kind := r.GetMeta(), KindOf(r)
	add(OwnedBy(kind), m.AccountUUID)
	for _, account := range m.SharedWith {
		add(SharedWith(kind), account)
	}
	switch r := r.(type) {
	case *v1.Cluster:
		add(ClustersOfZone, r.ZoneUUID)
	case *v1.Host:
		add(HostsOfCluster, r.ClusterUUID)
	case *v1.L2Network:
		add(L2sOfZone, r.ZoneUUID)
	case *v1.L3Network:
		add(L3sOfL2, r.L2NetworkUUID)
	case *v1.IPRange:
		add(RangesOfL3, r.L3NetworkUUID)
	case *v1.VirtualRouterOffering:
		add(OfferingsOfZone, r.ZoneUUID)
	case *v1.VirtualRouter:
		add(RouterOfGuestL3, r.L3NetworkUUID)
		add(RoutersOfHost, r.HostUUID)
		for _, n := range r.Nics {
			add(RoutersOnL3, n.L3NetworkUUID)
			add(MACOwners, n.MAC)
		}
	case *v1.VMInstance:
		add(VMsOfHost, r.HostUUID)
		add(VMsOfDomain, r.DomainUUID)
	case *v1.VMNic:
		add(NicsOfL3, r.L3NetworkUUID)
		add(NicsOfVM, r.VMInstanceUUID)
		add(MACOwners, r.MAC)
	case *v1.VIP:
		add(VIPsOfL3, r.L3NetworkUUID)
		add(VIPsOfRouter, r.VirtualRouterUUID)
	case *v1.EIP:
		add(EIPsOfVIP, r.VIPUUID)
		add(EIPsOfNic, r.VMNicUUID)
	case *v1.PortForwardingRule:
		add(ForwardingsOfVIP, r.VIPUUID)
		add(ForwardingsOfNic, r.VMNicUUID)
	}
}

// holdingsOf are the addresses that a resource has.
func holdingsOf(r v1.Resource) []holding {
	switch r := r.(type) {
	case *v1.VirtualRouter:
		held := make([]holding, len(r.Nics))
		for i, n := range r.Nics {
			held[i] = holding{n.L3NetworkUUID, n.IP, r}
		}
		return held
	case *v1.VMNic:
		return []holding{{r.L3NetworkUUID, r.IP, r}}
	case *v1.VIP:
		if !r.System { // the router's nic owns that address
			return []holding{{r.L3NetworkUUID, r.IP, r}}
		}
	}
	return nil
}

// MACOwner is the UUID of the nic or router that has a MAC; empty if nobody.
func (v *View) MACOwner(mac string) string {
	for r := range v.under(MACOwners, mac) {
		return r.GetMeta().UUID
	}
	return ""
}
