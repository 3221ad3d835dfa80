package dhcp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// maxOption bounds an extra option's value, in bytes: what no client's message
// has room for is a mistake.
const maxOption = 1024

// validate checks the networks of a content; the error is a
// *dataplane.FieldError.
func validate(c agentv1.Content) error {
	guests := map[string]bool{}
	for _, i := range c.Interfaces {
		guests[i.MAC] = i.HasRole(agentv1.RoleGuest)
	}
	served := map[string]bool{}
	for i, n := range c.DHCP {
		at := fmt.Sprintf("/content/dhcp/%d", i)
		switch guest, known := guests[n.Interface]; {
		case !known:
			return dataplane.Fieldf(at+"/interface", "%q is no interface of the router", n.Interface)
		case !guest:
			return dataplane.Fieldf(at+"/interface", "%s is not a guest interface", n.Interface)
		case served[n.Interface]:
			return dataplane.Fieldf(at+"/interface", "%s is served twice", n.Interface)
		}
		served[n.Interface] = true
		if err := validateNetwork(at, n); err != nil {
			return err
		}
		if err := validateBindings(at, n); err != nil {
			return err
		}
	}
	return nil
}

func validateNetwork(at string, n agentv1.DHCPNetwork) error {
	if _, ok := parseMAC(n.Interface); !ok {
		return dataplane.Fieldf(at+"/interface", "%q is not a MAC", n.Interface)
	}
	if !n.Subnet.IsValid() || !n.Subnet.Addr().Is4() || n.Subnet.Bits() < 1 {
		return dataplane.Fieldf(at+"/subnet", "%v is not an IPv4 subnet", n.Subnet)
	}
	if !usable(n.Subnet, n.ServerID) {
		return dataplane.Fieldf(at+"/serverId", "%v is not an address of %v", n.ServerID, n.Subnet)
	}
	if n.Router.IsValid() && !usable(n.Subnet, n.Router) {
		return dataplane.Fieldf(at+"/router", "%v is not an address of %v", n.Router, n.Subnet)
	}
	if n.MTU < 576 || n.MTU > 9216 {
		return dataplane.Fieldf(at+"/mtu", "%d is not between 576 and 9216", n.MTU)
	}
	if n.LeaseSeconds == 0 {
		return dataplane.Fieldf(at+"/leaseSeconds", "must not be 0")
	}
	if n.Domain != "" && !isName(n.Domain) {
		return dataplane.Fieldf(at+"/domain", "%q is not a domain name", n.Domain)
	}
	return validateLists(at, n)
}

func validateLists(at string, n agentv1.DHCPNetwork) error {
	for i, a := range n.DNS {
		if !a.Is4() || a.IsUnspecified() {
			return dataplane.Fieldf(fmt.Sprintf("%s/dns/%d", at, i), "%v is not an IPv4 address", a)
		}
	}
	for i, a := range n.Relays {
		if !a.Is4() || a.IsUnspecified() {
			return dataplane.Fieldf(fmt.Sprintf("%s/relays/%d", at, i), "%v is not an IPv4 address", a)
		}
	}
	return validateRoutes(at, n.Routes)
}

func validateRoutes(at string, routes []agentv1.Route) error {
	for i, r := range routes {
		if !r.Prefix.IsValid() || !r.Prefix.Addr().Is4() || r.Prefix != r.Prefix.Masked() {
			return dataplane.Fieldf(fmt.Sprintf("%s/routes/%d/prefix", at, i), "%v is not an IPv4 prefix", r.Prefix)
		}
		if !r.NextHop.Is4() { // 0.0.0.0 says "on the link" (RFC 3442)
			return dataplane.Fieldf(fmt.Sprintf("%s/routes/%d/nextHop", at, i), "%v is not an IPv4 address", r.NextHop)
		}
	}
	return nil
}

// validateBindings allows a MAC and an address once in a network. It is quick,
// and makes paths only for what is wrong: there may be 65,000, and each change
// of one of them comes by here.
func validateBindings(at string, n agentv1.DHCPNetwork) error {
	ips := make([]uint32, 0, len(n.Bindings))
	ascending, last := true, hw{}
	for i := range n.Bindings {
		if err := validateBinding(at+"/bindings", n, n.Bindings, i); err != nil {
			return err
		}
		h, ip := keysOf(&n.Bindings[i])
		ascending = ascending && bytes.Compare(last[:], h[:]) < 0
		last, ips = h, append(ips, binary.BigEndian.Uint32(ip[:]))
	}
	slices.Sort(ips)
	if !ascending || len(slices.Compact(ips)) < len(n.Bindings) {
		return findTwice(at, n)
	}
	return nil
}

// validateBinding checks list[i] by itself; at is where the list is.
func validateBinding(at string, n agentv1.DHCPNetwork, list []agentv1.DHCPBinding, i int) error {
	b := &list[i]
	wrong := func(field, format string, args ...any) error {
		return dataplane.Fieldf(fmt.Sprintf("%s/%d/%s", at, i, field), format, args...)
	}
	if h, ok := parseMAC(b.MAC); !ok || !h.unicast() {
		return wrong("mac", "%q is not a nic's MAC", b.MAC)
	}
	if !usable(n.Subnet, b.IP) {
		return wrong("ip", "%v is not an address of %v", b.IP, n.Subnet)
	}
	if b.IP == n.ServerID || b.IP == n.Router {
		return wrong("ip", "%v is the router's", b.IP)
	}
	if b.Hostname != "" && !isName(b.Hostname) {
		return wrong("hostname", "%q is not a host name", b.Hostname)
	}
	for code, value := range b.Options {
		if err := checkOption(code, value); err != nil {
			return wrong(fmt.Sprintf("options/%d", code), "%w", err)
		}
	}
	if len(b.Routes) > 0 {
		return validateRoutes(fmt.Sprintf("%s/%d", at, i), b.Routes)
	}
	return nil
}

// findTwice names the second binding of a MAC or an address, if there is one.
func findTwice(at string, n agentv1.DHCPNetwork) error {
	macs, ips := make(map[hw]int, len(n.Bindings)), make(map[netip.Addr]int, len(n.Bindings))
	for i, b := range n.Bindings {
		h, _ := parseMAC(b.MAC)
		if j, twice := macs[h]; twice {
			return dataplane.Fieldf(fmt.Sprintf("%s/bindings/%d/mac", at, i), "%s is bound at %d too", b.MAC, j)
		}
		if j, twice := ips[b.IP]; twice {
			return dataplane.Fieldf(fmt.Sprintf("%s/bindings/%d/ip", at, i), "%v is bound at %d too", b.IP, j)
		}
		macs[h], ips[b.IP] = i, i
	}
	return nil
}

// checkOption refuses options that are the protocol's own: given by a user they
// would make answers that no client understands.
func checkOption(code uint8, value string) error {
	switch code {
	case optPad, optRequestedIP, optLease, optOverload, optMessageType, optServerID, optParameters,
		optMaxSize, optT1, optT2, optClientID, optRelayInfo, optEnd:
		return fmt.Errorf("option %d is the server's own", code)
	}
	if len(value) > 2*maxOption {
		return fmt.Errorf("value is longer than %d bytes", maxOption)
	}
	if _, err := hex.DecodeString(value); err != nil {
		return fmt.Errorf("value is not hex: %w", err)
	}
	return nil
}

// usable says whether a is a host's address in the subnet.
func usable(p netip.Prefix, a netip.Addr) bool {
	if !a.Is4() || !p.Contains(a) {
		return false
	}
	return p.Bits() >= 31 || a != p.Masked().Addr() && a != broadcastOf(p)
}

// isName says whether s is a host or domain name (RFC 1123 section 2.1): these
// go into files of guests that trust them.
func isName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i] | 0x20
			if !(c >= 'a' && c <= 'z' || label[i] >= '0' && label[i] <= '9' || label[i] == '-') {
				return false
			}
		}
	}
	return true
}
