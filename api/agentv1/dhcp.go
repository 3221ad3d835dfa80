package agentv1

import (
	"maps"
	"net/netip"
	"slices"
)

// DHCPNetwork is the DHCP service of one guest network (RFC 2131). Every
// binding is fixed: there is no dynamic pool.
type DHCPNetwork struct {
	// Interface is the MAC of the router's guest interface that is served.
	Interface string `json:"interface"`
	// ServerID is the router's address given as option 54; stable over rebuilds.
	ServerID netip.Addr `json:"serverId"`
	// Subnet gives option 1.
	Subnet netip.Prefix `json:"subnet"`
	// Router is option 3 (the network's gateway); unset: none.
	Router netip.Addr `json:"router,omitzero"`
	// DNS is option 6, in order.
	DNS []netip.Addr `json:"dns,omitempty"`
	// Domain is options 15 and 119; may be empty.
	Domain string `json:"domain,omitempty"`
	// MTU is option 26, in bytes.
	MTU int `json:"mtu"`
	// LeaseSeconds is option 51; options 58 and 59 are 1/2 and 7/8 of it.
	LeaseSeconds uint32 `json:"leaseSeconds"`
	// Routes are the network's host routes (options 121, 33 and 249).
	Routes []Route `json:"routes,omitempty"`
	// Relays are the relay agents (giaddr, RFC 2131 section 4.1) whose messages
	// are answered; relayed messages of others are ignored.
	Relays []netip.Addr `json:"relays,omitempty"`
	// Bindings, sorted by MAC.
	Bindings []DHCPBinding `json:"bindings,omitempty"`
}

// Route is a static route for a guest.
type Route struct {
	Prefix  netip.Prefix `json:"prefix"`
	NextHop netip.Addr   `json:"nextHop"`
}

// DHCPBinding is the fixed address of one guest nic.
type DHCPBinding struct {
	MAC string     `json:"mac"`
	IP  netip.Addr `json:"ip"`
	// Hostname is option 12; may be empty.
	Hostname string `json:"hostname,omitempty"`
	// IsDefault says that the nic is its guest's default nic: only then are
	// routers and DNS options given.
	IsDefault bool `json:"isDefault"`
	// Options are extra options by number, values in hex. They win over ours,
	// but options 0, 50, 51, 52, 53, 54, 55, 57, 58, 59, 61, 82 and 255 are refused.
	Options map[uint8]string `json:"options,omitempty"`
	// Routes are the nic's own host routes: they are told together with the
	// network's, and win over one of the network's with the same prefix. A
	// default route among them is this nic's, whether or not IsDefault is set
	// (RFC 3442).
	Routes []Route `json:"routes,omitempty"`
}

// Equal says whether two bindings ask for the same.
func (b *DHCPBinding) Equal(other *DHCPBinding) bool {
	return b.MAC == other.MAC && b.IP == other.IP && b.Hostname == other.Hostname && b.IsDefault == other.IsDefault &&
		maps.Equal(b.Options, other.Options) && slices.Equal(b.Routes, other.Routes)
}
