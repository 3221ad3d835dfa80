package v1

import "net/netip"

// VMInstance is a tenant's virtual machine that Sluice knows but does not run.
type VMInstance struct {
	Meta
	Hostname string `json:"hostname,omitempty"`
	// State is Running or Stopped: the owner's word, or that of the hypervisor
	// for a domain with one of the VM's MACs. The condition Running tells whose.
	State      string `json:"state" enum:"Running,Stopped"`
	HostUUID   string `json:"hostUuid,omitempty" doc:"The host that its domain was seen on"`
	DomainUUID string `json:"domainUuid,omitempty" doc:"The libvirt domain that runs with its MAC"`
	// Nics is filled in answers; nics are stored on their own.
	Nics       []VMNic     `json:"nics"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// CreateVMInstance is the body of POST /v1/vm-instances.
type CreateVMInstance struct {
	CreateMeta
	Hostname string        `json:"hostname,omitempty"`
	Nics     []CreateVMNic `json:"nics" minItems:"1"`
}

// CreateVMNic is one nic of CreateVMInstance.
type CreateVMNic struct {
	L3NetworkUUID string            `json:"l3NetworkUuid"`
	IP            string            `json:"ip,omitempty" doc:"Honoured when free"`
	MAC           string            `json:"mac,omitempty" doc:"Honoured when free"`
	IsDefault     bool              `json:"isDefault,omitempty" doc:"The nic with the default route; the first one if none says so"`
	DHCPOptions   map[string]string `json:"dhcpOptions,omitempty" doc:"Extra options: number to value in hex"`
	StaticRoutes  []HostRoute       `json:"staticRoutes,omitempty" doc:"Routes of this nic alone; 0.0.0.0/0 on the default nic only"`
}

// VMNic is a nic of a VM instance.
type VMNic struct {
	Meta
	VMInstanceUUID string            `json:"vmInstanceUuid"`
	L3NetworkUUID  string            `json:"l3NetworkUuid"`
	IP             netip.Addr        `json:"ip"`
	MAC            string            `json:"mac"`
	DeviceID       int               `json:"deviceId"`
	IsDefault      bool              `json:"isDefault"`
	DHCPOptions    map[string]string `json:"dhcpOptions,omitempty"`
	// StaticRoutes are given to this nic alone, before the network's hostRoutes.
	StaticRoutes []HostRoute `json:"staticRoutes,omitempty"`
}

// VIP is an address of a public L3 network.
type VIP struct {
	Meta
	L3NetworkUUID string     `json:"l3NetworkUuid"`
	IP            netip.Addr `json:"ip"`
	State         string     `json:"state" enum:"Enabled,Disabled"`
	// System: the public address of a router; not deletable.
	System            bool     `json:"system"`
	VirtualRouterUUID string   `json:"virtualRouterUuid,omitempty" doc:"The router whose own address it is"`
	UseFor            []string `json:"useFor" doc:"EIP, PortForwarding, SNAT"`
	// IPRequested: the address was asked for, and so is never changed.
	IPRequested bool `json:"ipRequested,omitempty"`
	// Conditions has Address: False while a stranger answers for it, so that no
	// router takes it.
	Conditions []Condition `json:"conditions,omitempty" doc:"Address: False while somebody else on the wire answers for it"`
}

// CreateVIP is the body of POST /v1/vips.
type CreateVIP struct {
	CreateMeta
	L3NetworkUUID string `json:"l3NetworkUuid"`
	IP            string `json:"ip,omitempty"`
}

// EIP maps a VIP to a nic, 1:1.
type EIP struct {
	Meta
	VIPUUID   string     `json:"vipUuid"`
	VIPIP     netip.Addr `json:"vipIp"`
	VMNicUUID string     `json:"vmNicUuid,omitempty"`
	GuestIP   netip.Addr `json:"guestIp,omitzero"`
	State     string     `json:"state" enum:"Enabled,Disabled"`
}

// CreateEIP is the body of POST /v1/eips.
type CreateEIP struct {
	CreateMeta
	VIPUUID   string `json:"vipUuid"`
	VMNicUUID string `json:"vmNicUuid,omitempty"`
}

// PortForwardingRule maps ports of a VIP to ports of a nic, 1:1.
type PortForwardingRule struct {
	Meta
	VIPUUID          string       `json:"vipUuid"`
	VIPIP            netip.Addr   `json:"vipIp"`
	VIPPortStart     int          `json:"vipPortStart"`
	VIPPortEnd       int          `json:"vipPortEnd"`
	PrivatePortStart int          `json:"privatePortStart"`
	PrivatePortEnd   int          `json:"privatePortEnd"`
	Protocol         string       `json:"protocolType" enum:"TCP,UDP"`
	AllowedCIDR      netip.Prefix `json:"allowedCidr,omitzero"`
	VMNicUUID        string       `json:"vmNicUuid,omitempty"`
	GuestIP          netip.Addr   `json:"guestIp,omitzero"`
	State            string       `json:"state" enum:"Enabled,Disabled"`
}

// CreatePortForwardingRule is the body of POST /v1/port-forwarding-rules.
type CreatePortForwardingRule struct {
	CreateMeta
	VIPUUID          string `json:"vipUuid"`
	VIPPortStart     int    `json:"vipPortStart" minimum:"1" maximum:"65535"`
	VIPPortEnd       int    `json:"vipPortEnd,omitempty" doc:"Defaults to vipPortStart"`
	PrivatePortStart int    `json:"privatePortStart,omitempty" doc:"Defaults to vipPortStart"`
	PrivatePortEnd   int    `json:"privatePortEnd,omitempty"`
	Protocol         string `json:"protocolType" enum:"TCP,UDP"`
	AllowedCIDR      string `json:"allowedCidr,omitempty"`
	VMNicUUID        string `json:"vmNicUuid,omitempty"`
}
