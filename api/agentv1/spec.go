// Package agentv1 is the southbound contract: what the orchestrator wants of a
// router (RouterSpec), what the agent in it reports (RouterStatus), the config
// drive it boots with (Bootstrap) and the enrolment messages. It is additive
// only: fields are never renamed or given another meaning.
package agentv1

import "net/netip"

// SpecVersion is the version of the RouterSpec layout. An agent refuses a spec
// with a higher one, because mandatory parts may be unknown to it.
const SpecVersion = 1

// RouterSpec is everything a router has to be. It is always whole: what is
// absent is not wanted.
type RouterSpec struct {
	// Version is SpecVersion.
	Version int `json:"version"`
	// RouterUUID names the router the spec is for; an agent with another
	// identity refuses it.
	RouterUUID string `json:"routerUuid"`
	// Generation grows by one whenever Content changes. An agent refuses an
	// older one, and other content under the same one.
	Generation uint64 `json:"generation"`
	// Hash is Content.Hash(); the agent checks it.
	Hash string `json:"hash"`
	// Fence is the store revision under which the sender decided; the agent
	// refuses a lower one than it has seen, so that an orchestrator which lost
	// its lock cannot overwrite its successor's work.
	Fence int64 `json:"fence"`
	// Content is what Hash covers.
	Content Content `json:"content"`
}

// Content is the wanted state itself, one field a service.
type Content struct {
	Hostname   string      `json:"hostname"`
	Interfaces []Interface `json:"interfaces"`
	// DHCP and DNS are per guest network; empty means the service is off.
	DHCP            []DHCPNetwork    `json:"dhcp,omitempty"`
	DNS             []DNSNetwork     `json:"dns,omitempty"`
	SNAT            []SNAT           `json:"snat,omitempty"`
	EIPs            []EIP            `json:"eips,omitempty"`
	PortForwardings []PortForwarding `json:"portForwardings,omitempty"`
}

// Role says what a router's interface is for.
type Role string

// The roles of an interface. Management carries commands only and is never
// routed to or from; Public has the default route; Guest is served.
const (
	RoleManagement Role = "management"
	RolePublic     Role = "public"
	RoleGuest      Role = "guest"
)

// Interface is one nic of the router, found by its MAC.
type Interface struct {
	// Name is the name the agent gives the nic (eth0, eth1, ...). In a
	// namespace of a host (run --spec) a nic keeps the name it has.
	Name string `json:"name"`
	// Roles has one entry, or two where a network is both management and public.
	Roles []Role `json:"roles"`
	// MAC is lower case, colon separated.
	MAC string `json:"mac"`
	// Addresses of the router itself, with the length of the subnet. VIPs are
	// not listed here: services add theirs as /32.
	Addresses []netip.Prefix `json:"addresses"`
	// Gateway is the next hop for what leaves by this interface; set on one
	// interface at most, or on several that are public and not guest. The
	// router's default route, which its own connections take, is by the
	// gateway of the first of these in the list. By the others go connections
	// that came in on the interface, and those of guests whose EIP (or else
	// SNAT) is there.
	Gateway netip.Addr `json:"gateway,omitzero"`
	// Routes lead to orchestrators off the management subnet; for nics with the
	// role management only. Nothing of guests is forwarded there.
	Routes []Route `json:"routes,omitempty"`
	// MTU in bytes, 576 to 9216.
	MTU int `json:"mtu"`
	// L3NetworkUUID is the network the nic is on.
	L3NetworkUUID string `json:"l3NetworkUuid"`
}

// HasRole reports whether the interface has the role.
func (i Interface) HasRole(r Role) bool {
	for _, have := range i.Roles {
		if have == r {
			return true
		}
	}
	return false
}

// Interface returns the nic with the MAC.
func (c Content) Interface(mac string) (Interface, bool) {
	for _, i := range c.Interfaces {
		if i.MAC == mac {
			return i, true
		}
	}
	return Interface{}, false
}
