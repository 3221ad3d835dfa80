package dataplane

import "net/netip"

// Reached is what an Apply or a Change did.
type Reached struct {
	// Steps are the changes made to the kernel, in order, readable.
	Steps []string
	// Writes is the number of changed objects; 0: all was as wanted.
	Writes int
	// FlowsEnded is how many connections were cut because no mapping wants
	// them any more.
	FlowsEnded int
	// Announced are the addresses made known by gratuitous ARP.
	Announced []netip.Addr
	// Failed is what went wrong, by owner (the service's name; "dataplane"
	// for what belongs to none). Apply's error has all of it.
	Failed map[string]error
}
