package model

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Kind is a kind of resource.
type Kind int

// The kinds, in an order in which parents come first.
const (
	Zones Kind = iota
	Clusters
	Hosts
	L2Networks
	L3Networks
	IPRanges
	Images
	Offerings
	Routers
	VMs
	Nics
	VIPs
	EIPs
	PortForwardings
	kindCount
)

// kinds is the one table of what a kind is called and made of. Adding a
// resource is one line here, and its index keys below.
var kinds = [kindCount]struct {
	path string // in URLs, store keys and the command line's nouns (plural)
	make func() v1.Resource
}{
	Zones:           {"zones", func() v1.Resource { return new(v1.Zone) }},
	Clusters:        {"clusters", func() v1.Resource { return new(v1.Cluster) }},
	Hosts:           {"hosts", func() v1.Resource { return new(v1.Host) }},
	L2Networks:      {"l2-networks", func() v1.Resource { return new(v1.L2Network) }},
	L3Networks:      {"l3-networks", func() v1.Resource { return new(v1.L3Network) }},
	IPRanges:        {"ip-ranges", func() v1.Resource { return new(v1.IPRange) }},
	Images:          {"images", func() v1.Resource { return new(v1.Image) }},
	Offerings:       {"virtual-router-offerings", func() v1.Resource { return new(v1.VirtualRouterOffering) }},
	Routers:         {"virtual-routers", func() v1.Resource { return new(v1.VirtualRouter) }},
	VMs:             {"vm-instances", func() v1.Resource { return new(v1.VMInstance) }},
	Nics:            {"vm-nics", func() v1.Resource { return new(v1.VMNic) }},
	VIPs:            {"vips", func() v1.Resource { return new(v1.VIP) }},
	EIPs:            {"eips", func() v1.Resource { return new(v1.EIP) }},
	PortForwardings: {"port-forwarding-rules", func() v1.Resource { return new(v1.PortForwardingRule) }},
}

// Kinds yields every kind.
func Kinds() []Kind {
	all := make([]Kind, kindCount)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String is the kind's plural path, such as l3-networks.
func (k Kind) String() string { return kinds[k].path }

// Noun is the kind's singular, as the command line calls it: l3-network.
func (k Kind) Noun() string { return strings.TrimSuffix(kinds[k].path, "s") }

// New is an empty resource of the kind.
func (k Kind) New() v1.Resource { return kinds[k].make() }

// KindByPath finds a kind by its plural path.
func KindByPath(path string) (Kind, bool) {
	for i, k := range kinds {
		if k.path == path {
			return Kind(i), true
		}
	}
	return 0, false
}

// KindOf is the kind of a resource.
func KindOf(r v1.Resource) Kind {
	k, ok := kindByType[reflect.TypeOf(r)]
	if !ok {
		panic(fmt.Sprintf("model: %T is not a resource", r))
	}
	return k
}

func kindOf[T any, P resource[T]]() Kind { return KindOf(P(nil)) }

var kindByType = func() map[reflect.Type]Kind {
	m := make(map[reflect.Type]Kind, kindCount)
	for i, k := range kinds {
		m[reflect.TypeOf(k.make())] = Kind(i)
	}
	return m
}()

// Index is a relation that can be asked for with Related.
type Index string

// The indexes; each says what it lists by which key.
const (
	ClustersOfZone   Index = "cluster.zone"
	L2sOfZone        Index = "l2.zone"
	OfferingsOfZone  Index = "offering.zone"
	HostsOfCluster   Index = "host.cluster"
	L3sOfL2          Index = "l3.l2"
	RangesOfL3       Index = "range.l3"
	NicsOfL3         Index = "nic.l3"
	NicsOfVM         Index = "nic.vm"
	RouterOfGuestL3  Index = "router.l3"     // the router that serves the L3 (one at most)
	RoutersOnL3      Index = "router.nic.l3" // routers with any nic on the L3
	RoutersOfHost    Index = "router.host"
	VIPsOfL3         Index = "vip.l3"
	VIPsOfRouter     Index = "vip.router" // a router's own public address
	EIPsOfVIP        Index = "eip.vip"
	EIPsOfNic        Index = "eip.nic"
	ForwardingsOfVIP Index = "pf.vip"
	ForwardingsOfNic Index = "pf.nic"

	// AddressOwners lists the owner of an address by AddressKey: a nic, VIP or
	// router; ask with AddressOwner.
	AddressOwners Index = "ip"
	// MACOwners lists the owner (nic or router) of a MAC.
	MACOwners Index = "mac"
)

// AddressKey is the key of AddressOwners, fixed width so that addresses sort.
func AddressKey(l3 string, ip netip.Addr) string {
	b := ip.As16()
	return fmt.Sprintf("%s/%x", l3, b[:])
}

// keysOf are the index keys under which a resource is listed.
func keysOf(kind Kind, r v1.Resource) []string {
	uuid := r.GetMeta().UUID
	key := func(i Index, k string) string { return string(i) + "/" + k + "/" + uuid }
	switch r := r.(type) {
	case *v1.Cluster:
		return []string{key(ClustersOfZone, r.ZoneUUID)}
	case *v1.Host:
		return []string{key(HostsOfCluster, r.ClusterUUID)}
	case *v1.L2Network:
		return []string{key(L2sOfZone, r.ZoneUUID)}
	case *v1.L3Network:
		return []string{key(L3sOfL2, r.L2NetworkUUID)}
	case *v1.IPRange:
		return []string{key(RangesOfL3, r.L3NetworkUUID)}
	case *v1.VirtualRouterOffering:
		return []string{key(OfferingsOfZone, r.ZoneUUID)}
	case *v1.VirtualRouter:
		keys := []string{key(RouterOfGuestL3, r.L3NetworkUUID)}
		if r.HostUUID != "" {
			keys = append(keys, key(RoutersOfHost, r.HostUUID))
		}
		for _, n := range r.Nics {
			keys = append(keys, key(RoutersOnL3, n.L3NetworkUUID), key(AddressOwners, AddressKey(n.L3NetworkUUID, n.IP)), key(MACOwners, n.MAC))
		}
		return keys
	case *v1.VMNic:
		return []string{
			key(NicsOfL3, r.L3NetworkUUID), key(NicsOfVM, r.VMInstanceUUID),
			key(AddressOwners, AddressKey(r.L3NetworkUUID, r.IP)), key(MACOwners, r.MAC),
		}
	case *v1.VIP:
		if r.System { // the router's nic owns the address
			return []string{key(VIPsOfL3, r.L3NetworkUUID), key(VIPsOfRouter, r.VirtualRouterUUID)}
		}
		return []string{key(VIPsOfL3, r.L3NetworkUUID), key(AddressOwners, AddressKey(r.L3NetworkUUID, r.IP))}
	case *v1.EIP:
		return withNic(EIPsOfNic, r.VMNicUUID, uuid, key(EIPsOfVIP, r.VIPUUID))
	case *v1.PortForwardingRule:
		return withNic(ForwardingsOfNic, r.VMNicUUID, uuid, key(ForwardingsOfVIP, r.VIPUUID))
	}
	return nil
}

func withNic(i Index, nic, uuid, key string) []string {
	if nic == "" {
		return []string{key}
	}
	return []string{key, string(i) + "/" + nic + "/" + uuid}
}

// AddressOwner is the UUID of the nic, VIP or router that has an address of an
// L3 network; empty if nobody.
func (v *View) AddressOwner(l3 string, ip netip.Addr) string {
	return v.firstIn(AddressOwners, AddressKey(l3, ip))
}

// MACOwner is the UUID of the nic or router that has a MAC; empty if nobody.
func (v *View) MACOwner(mac string) string { return v.firstIn(MACOwners, mac) }
