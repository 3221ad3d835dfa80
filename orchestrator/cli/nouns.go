// Package cli is the administrator's command line: one grammar, noun and verb,
// over the HTTP API. What a noun is called, which fields it has and which of
// them name other nouns stands in one table, used by the flags of create, by
// the tables of list and by apply alike.
package cli

// noun is one kind of resource on the command line.
type noun struct {
	name    string   // singular, such as l3-network
	path    string   // plural, as in URLs
	short   string   // one line of help
	columns []string // of the table: JSON fields; a/b goes into objects
	fields  []field  // of create
	actions []string // of POST .../actions
}

// field is one thing that can be said about a noun when it is created.
type field struct {
	flag string // --flag
	json string // field of the request
	// ref is the noun that the value names, by name or UUID; empty: plain.
	ref  string
	kind kind
	help string
}

// kind says how a flag's text becomes JSON.
type kind int

const (
	text kind = iota
	number
	truth
	list // comma separated, or given several times
)

var nouns = []noun{
	{name: "zone", path: "zones", short: "parent of everything else", columns: []string{"name", "uuid", "state"}},
	{
		name: "cluster", path: "clusters", short: "group of like hosts", columns: []string{"name", "uuid", "zoneUuid", "hypervisorType", "state"},
		fields: []field{
			{"zone", "zoneUuid", "zone", text, "zone that it belongs to"},
			{"hypervisor-type", "hypervisorType", "", text, "auto, kvm or qemu"},
		},
	},
	{
		name: "host", path: "hosts", short: "hypervisor", columns: []string{"name", "uuid", "clusterUuid", "state", "status", "virtType", "cpuNum", "memorySize"},
		fields: []field{
			{"cluster", "clusterUuid", "cluster", text, "cluster that it belongs to"},
			{"libvirt-uri", "libvirtUri", "", text, "where libvirt listens (default qemu:///system)"},
		},
	},
	{
		name: "l2-network", path: "l2-networks", short: "broadcast domain", columns: []string{"name", "uuid", "type", "physicalInterface", "realizations/bridge"},
		fields: []field{
			{"zone", "zoneUuid", "zone", text, "zone that it belongs to"},
			{"type", "type", "", text, "L2NoVlanNetwork"},
			{"physical-interface", "physicalInterface", "", text, "network card of the hosts"},
			{"vlan", "vlan", "", number, "VLAN id, 1 to 4094"},
		},
	},
	{
		name: "l3-network", path: "l3-networks", short: "subnet with services", columns: []string{"name", "uuid", "category", "ipRanges/networkCidr", "dns", "networkServices"},
		fields: []field{
			{"l2", "l2NetworkUuid", "l2-network", text, "L2 network that it is on"},
			{"category", "category", "", text, "Private, Public or System"},
			{"dns-domain", "dnsDomain", "", text, "domain of the guests"},
			{"mtu", "mtu", "", number, "bytes"},
			{"dns", "dns", "", list, "name servers, in order"},
		},
	},
	{
		name: "ip-range", path: "ip-ranges", short: "range of an L3 network's addresses (made with l3-network add-ip-range)",
		columns: []string{"name", "uuid", "l3NetworkUuid", "startIp", "endIp", "gateway"},
	},
	{
		name: "image", path: "images", short: "router template", columns: []string{"name", "uuid", "format", "version", "source"},
		fields: []field{
			{"source", "source", "", text, "folder made by `sluice-image build`, absolute"},
			{"format", "format", "", text, "direct or qcow2"},
		},
	},
	{
		name: "virtual-router-offering", path: "virtual-router-offerings", short: "how routers are made", columns: []string{"name", "uuid", "cpuNum", "memorySize", "isDefault", "state"},
		fields: []field{
			{"zone", "zoneUuid", "zone", text, "zone that it belongs to"},
			{"management-network", "managementNetworkUuid", "l3-network", text, "L3 network for commands"},
			{"public-network", "publicNetworkUuid", "l3-network", text, "L3 network with the way out (default: management)"},
			{"image", "imageUuid", "image", text, "router template"},
			{"cpu", "cpuNum", "", number, "virtual CPUs (default 1)"},
			{"memory", "memorySize", "", number, "MiB (default 192)"},
			{"default", "isDefault", "", truth, "make it the zone's default"},
		},
	},
	{
		name: "virtual-router", path: "virtual-routers", short: "router of a guest network (made by itself)", columns: []string{"name", "uuid", "state", "status", "appliedGeneration", "nics/ip"},
		actions: []string{"start", "stop", "reboot", "reconnect", "rebuild"},
	},
	{
		name: "vm-instance", path: "vm-instances", short: "tenant's virtual machine", columns: []string{"name", "uuid", "hostname", "state", "nics/ip", "nics/mac"},
		fields: []field{
			{"hostname", "hostname", "", text, "host name given by DHCP and DNS"},
		},
		actions: []string{"start", "stop", "reboot"},
	},
	{name: "vm-nic", path: "vm-nics", short: "network card of a VM", columns: []string{"uuid", "vmInstanceUuid", "l3NetworkUuid", "ip", "mac", "isDefault"}},
	{
		name: "vip", path: "vips", short: "address of a public L3 network", columns: []string{"name", "uuid", "ip", "useFor", "system"},
		fields: []field{
			{"l3", "l3NetworkUuid", "l3-network", text, "public L3 network"},
			{"ip", "ip", "", text, "address wanted (default: any free one)"},
		},
	},
	{
		name: "eip", path: "eips", short: "elastic IP: a VIP mapped to a VM, 1:1", columns: []string{"name", "uuid", "vipIp", "guestIp", "state"},
		fields: []field{
			{"vip", "vipUuid", "vip", text, "VIP to map"},
			{"vm", "vmNicUuid", "vm-nic", text, "VM (its default nic) or nic to map to"},
		},
	},
	{
		name: "port-forwarding-rule", path: "port-forwarding-rules", short: "ports of a VIP mapped to a VM", columns: []string{"name", "uuid", "protocolType", "vipIp", "vipPortStart", "vipPortEnd", "guestIp", "privatePortStart"},
		fields: []field{
			{"vip", "vipUuid", "vip", text, "VIP whose ports are forwarded"},
			{"protocol", "protocolType", "", text, "TCP or UDP"},
			{"vip-port", "vipPortStart", "", number, "first port of the VIP"},
			{"vip-port-end", "vipPortEnd", "", number, "last port of the VIP (default: the first)"},
			{"private-port", "privatePortStart", "", number, "first port of the VM (default: the VIP's)"},
			{"private-port-end", "privatePortEnd", "", number, "last port of the VM"},
			{"allowed-cidr", "allowedCidr", "", text, "who may connect (default: everybody)"},
			{"vm", "vmNicUuid", "vm-nic", text, "VM (its default nic) or nic to forward to"},
		},
	},
}

func nounByName(name string) *noun {
	for i := range nouns {
		if nouns[i].name == name || nouns[i].path == name {
			return &nouns[i]
		}
	}
	return nil
}
