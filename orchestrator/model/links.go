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

// link says that an index lists a resource under a key. Key and uuid are the
// resource's own strings, so that a link has no memory beside itself.
type link struct {
	index     Index
	key, uuid string
}

func (l link) before(o link) bool {
	if l.index != o.index {
		return l.index < o.index
	}
	if c := strings.Compare(l.key, o.key); c != 0 {
		return c < 0
	}
	return l.uuid < o.uuid
}

// linksOf are the links of a resource.
func linksOf(r v1.Resource) []link {
	uuid := r.GetMeta().UUID
	switch r := r.(type) {
	case *v1.Cluster:
		return []link{{ClustersOfZone, r.ZoneUUID, uuid}}
	case *v1.Host:
		return []link{{HostsOfCluster, r.ClusterUUID, uuid}}
	case *v1.L2Network:
		return []link{{L2sOfZone, r.ZoneUUID, uuid}}
	case *v1.L3Network:
		return []link{{L3sOfL2, r.L2NetworkUUID, uuid}}
	case *v1.IPRange:
		return []link{{RangesOfL3, r.L3NetworkUUID, uuid}}
	case *v1.VirtualRouterOffering:
		return []link{{OfferingsOfZone, r.ZoneUUID, uuid}}
	case *v1.VirtualRouter:
		links := optionalLink([]link{{RouterOfGuestL3, r.L3NetworkUUID, uuid}}, RoutersOfHost, r.HostUUID, uuid)
		for _, n := range r.Nics {
			links = append(links, link{RoutersOnL3, n.L3NetworkUUID, uuid}, link{MACOwners, n.MAC, uuid})
		}
		return links
	case *v1.VMInstance:
		return optionalLink(optionalLink(nil, VMsOfHost, r.HostUUID, uuid), VMsOfDomain, r.DomainUUID, uuid)
	case *v1.VMNic:
		return []link{{NicsOfL3, r.L3NetworkUUID, uuid}, {NicsOfVM, r.VMInstanceUUID, uuid}, {MACOwners, r.MAC, uuid}}
	case *v1.VIP:
		return optionalLink([]link{{VIPsOfL3, r.L3NetworkUUID, uuid}}, VIPsOfRouter, r.VirtualRouterUUID, uuid)
	case *v1.EIP:
		return optionalLink([]link{{EIPsOfVIP, r.VIPUUID, uuid}}, EIPsOfNic, r.VMNicUUID, uuid)
	case *v1.PortForwardingRule:
		return optionalLink([]link{{ForwardingsOfVIP, r.VIPUUID, uuid}}, ForwardingsOfNic, r.VMNicUUID, uuid)
	}
	return nil
}

// optionalLink appends a link unless its key is empty.
func optionalLink(links []link, i Index, key, uuid string) []link {
	if key == "" {
		return links
	}
	return append(links, link{i, key, uuid})
}

// holdingsOf are the addresses that a resource has.
func holdingsOf(r v1.Resource) []holding {
	uuid := r.GetMeta().UUID
	switch r := r.(type) {
	case *v1.VirtualRouter:
		held := make([]holding, len(r.Nics))
		for i, n := range r.Nics {
			held[i] = holding{n.L3NetworkUUID, n.IP, uuid}
		}
		return held
	case *v1.VMNic:
		return []holding{{r.L3NetworkUUID, r.IP, uuid}}
	case *v1.VIP:
		if !r.System { // the router's nic owns that address
			return []holding{{r.L3NetworkUUID, r.IP, uuid}}
		}
	}
	return nil
}

// MACOwner is the UUID of the nic or router that has a MAC; empty if nobody.
func (v *View) MACOwner(mac string) (owner string) {
	v.links.Ascend(link{MACOwners, mac, ""}, func(l link) bool {
		if l.index == MACOwners && l.key == mac {
			owner = l.uuid
		}
		return false
	})
	return owner
}
