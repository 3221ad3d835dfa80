package agentv1

import "time"

// RouterStatus is what a router really is.
type RouterStatus struct {
	RouterUUID string `json:"routerUuid"`
	// AgentVersion is the version of the agent's binary.
	AgentVersion string `json:"agentVersion"`
	// BootID changes with every boot of the kernel (/proc/sys/kernel/random/boot_id).
	BootID string `json:"bootId"`
	// StartedAt is when this agent process started.
	StartedAt time.Time `json:"startedAt"`
	// AcceptedGeneration and AcceptedHash are of the last accepted spec; zero: none.
	AcceptedGeneration uint64 `json:"acceptedGeneration"`
	AcceptedHash       string `json:"acceptedHash"`
	// AppliedGeneration and AppliedHash are of the last spec that was reached
	// completely.
	AppliedGeneration uint64 `json:"appliedGeneration"`
	AppliedHash       string `json:"appliedHash"`
	// Services by name (dhcp, dns, snat, eip, port-forwarding, interfaces).
	Services map[string]ServiceStatus `json:"services,omitempty"`
	// Interfaces found, by MAC.
	Interfaces []InterfaceStatus `json:"interfaces,omitempty"`
	// Leases that DHCP has acknowledged since the agent started.
	Leases []LeaseStatus `json:"leases,omitempty"`
	// Conntrack is the use of the connection table; zero where unknown.
	ConntrackCount int64 `json:"conntrackCount,omitempty"`
	ConntrackMax   int64 `json:"conntrackMax,omitempty"`
	// Flowtables: connections of general SNAT take the kernel's fast path. Absent
	// where the kernel has none, it is switched off, or there is no such SNAT.
	Flowtables bool `json:"flowtables,omitempty"`
	// Refused is connections that could not be made since the kernel booted, by
	// cause. Zero causes are left out.
	Refused map[Refusal]uint64 `json:"refused,omitempty"`
	// Warnings are what people should look into though all is as wanted: a
	// guest that is held back, public ports that ran out.
	Warnings []string `json:"warnings,omitempty"`
	// Traffic of the mappings that had any; only in the answer to GET.
	Traffic []MappingTraffic `json:"traffic,omitempty"`
	// MemoryBytes is the agent's resident set.
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	// Ignored lists unknown optional fields of the last spec (JSON pointers).
	Ignored []string `json:"ignored,omitempty"`
}

// Refusal is why a connection could not be made.
type Refusal string

// The causes of refusals.
const (
	// RefusedForPorts: no port of the public address was free for it.
	RefusedForPorts Refusal = "ports"
	// RefusedForRoom: the connection table was full.
	RefusedForRoom Refusal = "room"
)

// MappingTraffic counts IP packets, and their bytes with headers, of an EIP or
// a forwarding rule since it was mapped; whoever gets the same public address
// or port in the same spec goes on from there. Counts outlive the agent, not
// the router.
type MappingTraffic struct {
	// UUID of the EIP or rule.
	UUID string `json:"uuid"`
	// In is towards the guest.
	InPackets  uint64 `json:"inPackets"`
	InBytes    uint64 `json:"inBytes"`
	OutPackets uint64 `json:"outPackets"`
	OutBytes   uint64 `json:"outBytes"`
}

// ServiceStatus is how a service fares.
type ServiceStatus struct {
	// Ready: the service is as the spec wants it.
	Ready bool `json:"ready"`
	// Error names object and cause when not ready.
	Error string `json:"error,omitempty"`
	// Counters are totals since the agent started, with names that end in _total,
	// and levels, such as the entries of a cache.
	Counters map[string]uint64 `json:"counters,omitempty"`
}

// InterfaceStatus is a nic as found.
type InterfaceStatus struct {
	MAC       string   `json:"mac"`
	Name      string   `json:"name"`
	Up        bool     `json:"up"`
	MTU       int      `json:"mtu"`
	Addresses []string `json:"addresses,omitempty"`
	// What the nic received and sent since it was made, in frames and bytes.
	ReceivedPackets uint64 `json:"receivedPackets,omitempty"`
	ReceivedBytes   uint64 `json:"receivedBytes,omitempty"`
	SentPackets     uint64 `json:"sentPackets,omitempty"`
	SentBytes       uint64 `json:"sentBytes,omitempty"`
}

// LeaseStatus is a fact for people; bindings are in the spec.
type LeaseStatus struct {
	MAC         string    `json:"mac"`
	IP          string    `json:"ip"`
	FirstSeen   time.Time `json:"firstSeen"`
	LastRenewed time.Time `json:"lastRenewed"`
}

// Problem is the body of every error answer of the agent.
type Problem struct {
	// Code is stable: older-generation, conflicting-content, lower-fence,
	// wrong-router, invalid-spec, not-enrolled, unsupported-version, internal (see
	// the Code constants).
	Code string `json:"code"`
	// Detail names object, stage, cause and next step.
	Detail string `json:"detail"`
	// Field is the JSON pointer of the offending field, where there is one.
	Field string `json:"field,omitempty"`
}
