package agentv1

import "net/netip"

// DNSNetwork is the DNS service of one guest network: its names, and where to
// ask about the rest. One network never sees another's names.
type DNSNetwork struct {
	// Interface is the MAC of the router's guest interface that is served.
	Interface string `json:"interface"`
	// Listen are the addresses answered on, port 53 UDP and TCP.
	Listen []netip.Addr `json:"listen"`
	// Domain of the network, without a trailing dot; may be empty.
	Domain string `json:"domain,omitempty"`
	// Subnet is the guest CIDR: its reverse zone is answered here, never forwarded.
	Subnet netip.Prefix `json:"subnet"`
	// Records of the local zone, sorted by name then address.
	Records []DNSRecord `json:"records,omitempty"`
	// Upstreams are asked in order.
	Upstreams []netip.AddrPort `json:"upstreams,omitempty"`
	// TLS asks the upstreams over TLS only (RFC 7858); unset: plain DNS.
	TLS *DNSTLS `json:"tls,omitempty"`
}

// DNSTLS says whom upstreams have to prove to be. One that does not is never
// asked anything, nor is any asked without TLS instead.
type DNSTLS struct {
	// ServerName is what each upstream's certificate must be for: a DNS name, or
	// an address.
	ServerName string `json:"serverName"`
	// CA are the certificates (PEM) that vouch for it; empty: those that
	// browsers trust, as they were when the agent was built.
	CA string `json:"ca,omitempty"`
}

// DNSRecord is a host: it gives an A record for name and for name.domain, and
// a PTR record for the address.
type DNSRecord struct {
	Name string     `json:"name"`
	IP   netip.Addr `json:"ip"`
	// Owner is set where one has several addresses by this name: records of one
	// name and owner belong together. Names that several have are all answered,
	// and reported; a record without an owner is its own.
	Owner string `json:"owner,omitempty"`
}
