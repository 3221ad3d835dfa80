package v1

import (
	"net/netip"
	"time"
)

// L2 network types. Others are refused with l2-type-unsupported until a
// realizer for them exists.
const (
	L2NoVlan = "L2NoVlanNetwork"
	L2Vlan   = "L2VlanNetwork"
	L2Vxlan  = "L2VxlanNetwork"
)

// L2Network is one broadcast domain.
type L2Network struct {
	Meta
	ZoneUUID             string        `json:"zoneUuid"`
	Type                 string        `json:"type"`
	PhysicalInterface    string        `json:"physicalInterface"`
	Vlan                 int           `json:"vlan,omitempty"`
	VNI                  int           `json:"vni,omitempty"`
	AttachedClusterUUIDs []string      `json:"attachedClusterUuids"`
	Realizations         []Realization `json:"realizations"`
}

// Realization is the bridge of an L2 network on one host.
type Realization struct {
	HostUUID string `json:"hostUuid"`
	Bridge   string `json:"bridge"`
}

// CreateL2Network is the body of POST /v1/l2-networks.
type CreateL2Network struct {
	CreateMeta
	ZoneUUID          string `json:"zoneUuid"`
	Type              string `json:"type,omitempty" default:"L2NoVlanNetwork"`
	PhysicalInterface string `json:"physicalInterface" minLength:"1" maxLength:"15"`
	Vlan              int    `json:"vlan,omitempty"`
	VNI               int    `json:"vni,omitempty"`
}

// L3 categories.
const (
	Public  = "Public"
	Private = "Private"
	System  = "System"
)

// Network service types and the built-in provider.
const (
	DHCP           = "DHCP"
	DNS            = "DNS"
	SNAT           = "SNAT"
	EIPService     = "EIP"
	PortForwarding = "PortForwarding"

	ProviderVirtualRouter = "VirtualRouter"
)

// L3Network is a subnet with services on an L2 network.
type L3Network struct {
	Meta
	L2NetworkUUID string       `json:"l2NetworkUuid"`
	ZoneUUID      string       `json:"zoneUuid"`
	Category      string       `json:"category" enum:"Public,Private,System"`
	State         string       `json:"state" enum:"Enabled,Disabled"`
	DNSDomain     string       `json:"dnsDomain,omitempty"`
	MTU           int          `json:"mtu"`
	DNS           []netip.Addr `json:"dns"`
	DNSOverTLS
	HostRoutes []HostRoute `json:"hostRoutes"`
	// DNSRecords are names of the network beside its guests' host names.
	DNSRecords []DNSRecord `json:"dnsRecords,omitempty" doc:"Names that the router's DNS knows beside the guests' host names"`
	// DHCPRelays are the relay agents (giaddr, RFC 2131 section 4.1) that the
	// router answers; those of others are ignored.
	DHCPRelays []netip.Addr `json:"dhcpRelays,omitempty" doc:"Relay agents that the router answers, by their giaddr"`
	// ReservedRanges are never allocated.
	ReservedRanges []AddressRange `json:"reservedRanges,omitempty"`
	// Strangers are addresses that somebody on the wire has whom Sluice does not
	// know. They are not allocated while he answers.
	Strangers []Stranger `json:"strangers,omitempty" doc:"Addresses that answer ARP though nobody has been given them; not allocated while they do"`
	// AllocationStrategy chooses among the free addresses.
	AllocationStrategy string `json:"allocationStrategy" enum:"FirstAvailable,Random,AscDelayRecycle" doc:"How a free address is chosen"`
	// LastAllocatedIP is where AscDelayRecycle goes on from: every address that
	// was handed out since it last began at the bottom is at most this one.
	LastAllocatedIP netip.Addr `json:"lastAllocatedIp,omitzero" doc:"Where AscDelayRecycle goes on from"`
	// NetworkServices by provider type.
	NetworkServices   map[string][]string `json:"networkServices"`
	RouterInterfaceIP netip.Addr          `json:"routerInterfaceIp,omitzero"`
	// IPRanges is filled in answers; ranges are stored on their own.
	IPRanges []IPRange `json:"ipRanges"`
}

// HasService reports whether any provider gives the service.
func (l *L3Network) HasService(name string) bool { return l.Provider(name) != "" }

// Provider is the type of the provider that gives the service, or empty.
func (l *L3Network) Provider(service string) string {
	for provider, services := range l.NetworkServices {
		for _, s := range services {
			if s == service {
				return provider
			}
		}
	}
	return ""
}

// HostRoute is a static route given to guests.
type HostRoute struct {
	Prefix  netip.Prefix `json:"prefix"`
	NextHop netip.Addr   `json:"nexthop"`
}

// Stranger is somebody who answers ARP for an address.
type Stranger struct {
	IP    netip.Addr `json:"ip"`
	MAC   string     `json:"mac"`
	Since time.Time  `json:"since"`
}

// DNSRecord is a name with its addresses (A records, and PTR records for them).
type DNSRecord struct {
	Name string       `json:"name" doc:"Within the network's domain; dots part labels" example:"db"`
	IPs  []netip.Addr `json:"ips" minItems:"1"`
}

// AddressRange is inclusive at both ends.
type AddressRange struct {
	StartIP netip.Addr `json:"startIp"`
	EndIP   netip.Addr `json:"endIp"`
}

// CreateL3Network is the body of POST /v1/l3-networks.
type CreateL3Network struct {
	CreateMeta
	L2NetworkUUID string       `json:"l2NetworkUuid"`
	Category      string       `json:"category,omitempty" enum:"Public,Private,System" default:"Private"`
	DNSDomain     string       `json:"dnsDomain,omitempty"`
	MTU           int          `json:"mtu,omitempty" doc:"Bytes; default 1500"`
	DNS           []netip.Addr `json:"dns,omitempty"`
	DNSOverTLS
	HostRoutes []HostRoute `json:"hostRoutes,omitempty"`
	DNSRecords []DNSRecord `json:"dnsRecords,omitempty"`

	AllocationStrategy string `json:"allocationStrategy,omitempty" enum:"FirstAvailable,Random,AscDelayRecycle" default:"FirstAvailable"`
}

// How an L3 network chooses among its free addresses.
const (
	// FirstAvailable takes the lowest.
	FirstAvailable = "FirstAvailable"
	// Random takes any, each as likely.
	Random = "Random"
	// AscDelayRecycle ascends and begins at the bottom when it is at the top, so
	// that an address that was freed rests for as long as possible.
	AscDelayRecycle = "AscDelayRecycle"
)

// SetAllocationStrategy is the body of PUT /v1/l3-networks/{uuid}/allocation-strategy.
type SetAllocationStrategy struct {
	AllocationStrategy string `json:"allocationStrategy" enum:"FirstAvailable,Random,AscDelayRecycle"`
}

// DNSOverTLS makes the router ask the name servers over TLS only (RFC 7858). It is
// the body of PUT /v1/l3-networks/{l3}/dns-tls.
type DNSOverTLS struct {
	DNSTLSName string `json:"dnsTlsName,omitempty" doc:"Name that each name server's certificate must be for; empty: ask without TLS"`
	DNSTLSCA   string `json:"dnsTlsCa,omitempty" doc:"Certificates (PEM) that vouch for it; empty: those that browsers trust"`
}

// IPRange is a contiguous range of an L3 network's addresses.
type IPRange struct {
	Meta
	L3NetworkUUID string       `json:"l3NetworkUuid"`
	StartIP       netip.Addr   `json:"startIp"`
	EndIP         netip.Addr   `json:"endIp"`
	Netmask       string       `json:"netmask"`
	Gateway       netip.Addr   `json:"gateway"`
	NetworkCIDR   netip.Prefix `json:"networkCidr"`
}

// AddIPRange is the body of POST /v1/l3-networks/{l3}/ip-ranges: start, end,
// netmask and gateway, or networkCidr with an optional gateway.
type AddIPRange struct {
	CreateMeta
	StartIP     string `json:"startIp,omitempty"`
	EndIP       string `json:"endIp,omitempty"`
	Netmask     string `json:"netmask,omitempty"`
	Gateway     string `json:"gateway,omitempty"`
	NetworkCIDR string `json:"networkCidr,omitempty"`
}

// SetDNS is the body of PUT /v1/l3-networks/{l3}/dns.
type SetDNS struct {
	DNS []netip.Addr `json:"dns"`
}

// AddDNS is the body of POST /v1/l3-networks/{l3}/dns.
type AddDNS struct {
	DNS netip.Addr `json:"dns"`
}

// SetHostRoutes is the body of PUT /v1/l3-networks/{l3}/host-routes.
type SetHostRoutes struct {
	HostRoutes []HostRoute `json:"hostRoutes"`
}

// SetDNSRecords is the body of PUT /v1/l3-networks/{l3}/dns-records.
type SetDNSRecords struct {
	DNSRecords []DNSRecord `json:"dnsRecords"`
}

// SetReservedRanges is the body of PUT /v1/l3-networks/{l3}/reserved-ranges.
type SetReservedRanges struct {
	ReservedRanges []AddressRange `json:"reservedRanges"`
}

// SetDHCPRelays is the body of PUT /v1/l3-networks/{l3}/dhcp-relays.
type SetDHCPRelays struct {
	DHCPRelays []netip.Addr `json:"dhcpRelays"`
}

// SetMTU is the body of PUT /v1/l3-networks/{l3}/mtu.
type SetMTU struct {
	MTU int `json:"mtu"`
}

// SetRouterInterfaceIP is the body of PUT /v1/l3-networks/{l3}/router-interface-ip.
type SetRouterInterfaceIP struct {
	RouterInterfaceIP netip.Addr `json:"routerInterfaceIp"`
}

// NetworkServices is the body of POST and DELETE .../network-services.
type NetworkServices struct {
	NetworkServices map[string][]string `json:"networkServices"`
}

// Capacity of an L3 network, in addresses.
type Capacity struct {
	Total int64 `json:"total"`
	Used  int64 `json:"used"`
	Free  int64 `json:"free"`
}

// NetworkServiceProvider says who offers which services.
type NetworkServiceProvider struct {
	Meta
	Type         string   `json:"type"`
	ServiceTypes []string `json:"networkServiceTypes"`
}
