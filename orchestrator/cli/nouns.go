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
	wide    []string // the further ones of -o wide
	fields  []field  // of create
	actions []string // of POST .../actions
	// derived: the server makes these by itself, there is no create.
	derived bool
	// apart: it is made on purpose and is no part of topologies.
	apart bool
	// example is a call of create, without the noun.
	example string
}

// settled makes a call about a mapping wait until routers that answer have it:
// when `eip detach` has returned, no packet reaches the old guest.
func (n *noun) settled() string {
	if n.name == "eip" || n.name == "port-forwarding-rule" {
		return "?wait=10s"
	}
	return ""
}

// field is one thing that can be said about a noun when it is created.
type field struct {
	flag string // --flag
	json string // field of the request
	// ref is the noun that the value names, by name or UUID; empty: plain.
	ref  string
	kind kind
	help string
	// must: create is refused without it.
	must bool
}

// kind says how a flag's text becomes JSON.
type kind int

const (
	text kind = iota
	number
	truth
	list // comma separated, or given several times
	nicList
)

// extraWords are what create and apply take beyond the fields: they are calls
// of their own.
var extraWords = map[string][]string{
	"l2-network":  {"clusters"},
	"l3-network":  append([]string{"cidr", "gateway", "services"}, settingWords()...),
	"vm-instance": {"nics", "state"},
}

var nouns = []noun{
	{name: "account", path: "accounts", short: "owner of tenants' objects", columns: []string{"name"}, wide: []string{"description", "createDate"}, apart: true, example: "create red"},
	{name: "zone", path: "zones", short: "parent of everything else", columns: []string{"name", "state"}, wide: []string{"description", "createDate"}, example: "create demo"},
	{
		name: "cluster", path: "clusters", short: "group of like hosts", columns: []string{"name", "zoneUuid", "hypervisorType", "state"}, wide: []string{"description"},
		example: "create demo --zone demo",
		fields: []field{
			{"zone", "zoneUuid", "zone", text, "zone that it belongs to", true},
			{"hypervisor-type", "hypervisorType", "", text, "auto, kvm or qemu", false},
		},
	},
	{
		name: "host", path: "hosts", actions: []string{"fence"}, short: "hypervisor", columns: []string{"name", "clusterUuid", "state", "status", "virtType", "cpuNum", "memorySize"}, wide: []string{"libvirtUri", "agentUrl"},
		example: "create this-machine --cluster demo",
		fields: []field{
			{"cluster", "clusterUuid", "cluster", text, "cluster that it belongs to", true},
			{"libvirt-uri", "libvirtUri", "", text, "where libvirt listens (default qemu:///system)", false},
		},
	},
	{
		name: "l2-network", path: "l2-networks", short: "broadcast domain", columns: []string{"name", "zoneUuid", "type", "physicalInterface", "vlan", "attachedClusterUuids"}, wide: []string{"realizations/bridge"},
		example: "create tenant --zone demo --physical-interface eth1 --cluster demo",
		fields: []field{
			{"zone", "zoneUuid", "zone", text, "zone that it belongs to", true},
			{"type", "type", "", text, "L2NoVlanNetwork", false},
			{"physical-interface", "physicalInterface", "", text, "network card of the hosts", true},
			{"vlan", "vlan", "", number, "VLAN id, 1 to 4094", false},
		},
	},
	{
		name: "l3-network", path: "l3-networks", short: "subnet with services", columns: []string{"name", "l2NetworkUuid", "category", "ipRanges/networkCidr", "dns", "networkServices"}, wide: []string{"state", "mtu", "dnsDomain", "routerInterfaceIp", "hostRoutes", "dnsRecords", "dhcpRelays"},
		example: "create guest --l2 tenant --cidr 192.168.10.0/24 --dns 1.1.1.1 --service dhcp,dns,snat",
		fields: []field{
			{"l2", "l2NetworkUuid", "l2-network", text, "L2 network that it is on", true},
			{"category", "category", "", text, "Private, Public or System", false},
			{"dns-domain", "dnsDomain", "", text, "domain of the guests", false},
			{"mtu", "mtu", "", number, "bytes", false},
			{"dns", "dns", "", list, "name servers, in order", false},
			{"dns-tls-name", "dnsTlsName", "", text, "ask them over TLS only, as this name", false},
			{"allocation-strategy", "allocationStrategy", "", text, "FirstAvailable, Random or AscDelayRecycle", false},
		},
	},
	{
		name: "ip-range", path: "ip-ranges", short: "range of an L3 network's addresses",
		example: "create more --l3 guest --start 192.168.10.100 --end 192.168.10.120 --netmask 255.255.255.0 --gateway 192.168.10.1",
		columns: []string{"name", "l3NetworkUuid", "startIp", "endIp", "gateway"}, wide: []string{"netmask", "networkCidr"},
		fields: []field{
			{"l3", "l3NetworkUuid", "l3-network", text, "L3 network that it belongs to", true},
			{"cidr", "networkCidr", "", text, "whole network; else say start, end, netmask and gateway", false},
			{"start", "startIp", "", text, "first address", false},
			{"end", "endIp", "", text, "last address", false},
			{"netmask", "netmask", "", text, "mask, such as 255.255.255.0", false},
			{"gateway", "gateway", "", text, "gateway (default with cidr: its first address)", false},
		},
	},
	{
		name: "image", path: "images", short: "router template", columns: []string{"name", "format", "version", "source"}, wide: []string{"state"},
		example: "create router --source /var/cache/sluice/image",
		fields: []field{
			{"source", "source", "", text, "folder made by `sluice-image build`, absolute", true},
			{"format", "format", "", text, "direct or qcow2", false},
		},
	},
	{
		name: "virtual-router-offering", path: "virtual-router-offerings", short: "how routers are made", columns: []string{"name", "zoneUuid", "cpuNum", "memorySize", "publicNetworkUuid", "isDefault", "state"}, wide: []string{"managementNetworkUuid", "imageUuid"},
		example: "create small --zone demo --management-network management --public-network public --image router",
		actions: []string{"make-default"},
		fields: []field{
			{"zone", "zoneUuid", "zone", text, "zone that it belongs to", true},
			{"management-network", "managementNetworkUuid", "l3-network", text, "L3 network for commands", true},
			{"public-network", "publicNetworkUuid", "l3-network", text, "L3 network with the way out (default: management)", false},
			{"image", "imageUuid", "image", text, "router template", true},
			{"cpu", "cpuNum", "", number, "virtual CPUs (default 1)", false},
			{"memory", "memorySize", "", number, "MiB (default 192)", false},
			{"default", "isDefault", "", truth, "make it the zone's default", false},
		},
	},
	{
		name: "virtual-router", path: "virtual-routers", short: "router of a guest network (made by itself)", columns: []string{"name", "l3NetworkUuid", "state", "status", "appliedGeneration", "nics/ip"}, wide: []string{"hostUuid", "virtualRouterOfferingUuid", "cpuNum", "memorySize", "nics/mac", "agentVersion"}, derived: true,
		actions: []string{"start", "stop", "reboot", "reconnect", "rebuild"},
	},
	{
		name: "vm-instance", path: "vm-instances", short: "tenant's virtual machine", columns: []string{"name", "hostname", "state", "nics/l3NetworkUuid", "nics/ip", "nics/mac"}, wide: []string{"hostUuid"},
		example: "create web --hostname web --nic guest",
		fields: []field{
			{"hostname", "hostname", "", text, "host name given by DHCP and DNS", false},
		},
		actions: []string{"start", "stop", "reboot"},
	},
	{name: "vm-nic", path: "vm-nics", short: "network card of a VM; the name of a VM stands for its default one", derived: true, columns: []string{"vmInstanceUuid", "l3NetworkUuid", "ip", "mac", "isDefault"}, wide: []string{"deviceId", "dhcpOptions", "staticRoutes"}},
	{
		name: "vip", path: "vips", short: "address of a public L3 network", columns: []string{"name", "l3NetworkUuid", "ip", "useFor", "system"}, wide: []string{"virtualRouterUuid", "state"},
		example: "create web-address --l3 public",
		fields: []field{
			{"l3", "l3NetworkUuid", "l3-network", text, "public L3 network", true},
			{"ip", "ip", "", text, "address wanted (default: any free one)", false},
		},
	},
	{
		name: "eip", path: "eips", short: "elastic IP: a VIP mapped to a VM, 1:1", columns: []string{"name", "vipUuid", "vipIp", "vmNicUuid", "guestIp", "state"}, wide: []string{"description"},
		example: "create web --vip web-address --vm web",
		fields: []field{
			{"vip", "vipUuid", "vip", text, "VIP to map", true},
			{"vm", "vmNicUuid", "vm-nic", text, "VM (its default nic) or nic to map to", false},
		},
	},
	{
		name: "port-forwarding-rule", path: "port-forwarding-rules", short: "ports of a VIP mapped to a VM", columns: []string{"name", "protocolType", "vipIp", "vipPortStart", "vipPortEnd", "vmNicUuid", "guestIp", "privatePortStart"}, wide: []string{"vipUuid", "privatePortEnd", "allowedCidr", "state"},
		example: "create web-http --vip web-address --protocol TCP --vip-port 8080 --private-port 80 --vm web",
		fields: []field{
			{"vip", "vipUuid", "vip", text, "VIP whose ports are forwarded", true},
			{"protocol", "protocolType", "", text, "TCP or UDP", true},
			{"vip-port", "vipPortStart", "", number, "first port of the VIP", true},
			{"vip-port-end", "vipPortEnd", "", number, "last port of the VIP (default: the first)", false},
			{"private-port", "privatePortStart", "", number, "first port of the VM (default: the VIP's)", false},
			{"private-port-end", "privatePortEnd", "", number, "last port of the VM", false},
			{"allowed-cidr", "allowedCidr", "", text, "who may connect (default: everybody)", false},
			{"vm", "vmNicUuid", "vm-nic", text, "VM (its default nic) or nic to forward to", false},
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
