package agentv1

import "net/netip"

// SNAT lets a guest network out with one public address.
type SNAT struct {
	// Source is the guest CIDR.
	Source netip.Prefix `json:"source"`
	// Interface is the MAC of the public interface.
	Interface string `json:"interface"`
	// Address is the public source address.
	Address netip.Addr `json:"address"`
}

// EIP maps a public address to a guest 1:1, in both directions.
type EIP struct {
	UUID string `json:"uuid"`
	// Interface is the MAC of the public interface that carries VIP (as /32).
	Interface string     `json:"interface"`
	VIP       netip.Addr `json:"vip"`
	// GuestInterface is the MAC of the router's interface to the guest.
	GuestInterface string     `json:"guestInterface"`
	GuestIP        netip.Addr `json:"guestIp"`
	// Order: a guest with several EIPs goes out with the one of the lowest order.
	Order int64 `json:"order"`
}

// PortForwarding maps ports of a public address to ports of a guest, 1:1.
type PortForwarding struct {
	UUID string `json:"uuid"`
	// Interface is the MAC of the public interface that carries VIP.
	Interface string     `json:"interface"`
	VIP       netip.Addr `json:"vip"`
	// VIPIsRouter says that VIP is the router's own address on Interface, so
	// that it is neither added nor removed with the rule.
	VIPIsRouter bool `json:"vipIsRouter,omitempty"`
	// Protocol is "tcp" or "udp".
	Protocol string `json:"protocol"`
	// VIPPortStart to VIPPortEnd, 1 to 65535, inclusive.
	VIPPortStart uint16 `json:"vipPortStart"`
	VIPPortEnd   uint16 `json:"vipPortEnd"`
	// PrivatePortStart is what VIPPortStart maps to; the ranges are of one size.
	PrivatePortStart uint16     `json:"privatePortStart"`
	GuestInterface   string     `json:"guestInterface"`
	GuestIP          netip.Addr `json:"guestIp"`
	// AllowedCIDR limits who may connect; unset: everybody.
	AllowedCIDR netip.Prefix `json:"allowedCidr,omitzero"`
}
