package model

import (
	"net/netip"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Limits of a network's own DNS records.
const (
	MaxDNSRecords   = 1000 // names
	MaxDNSAddresses = 64   // of a name, and names of an address
)

// SetDNSRecords replaces the names that an L3 network has beside its guests'
// host names. A guest of the same name has its address answered beside them.
func SetDNSRecords(tx *Tx, uuid string, records []v1.DNSRecord) (*v1.L3Network, error) {
	return changeL3(tx, uuid, func(l3 *v1.L3Network) error {
		l3.DNSRecords = slices.Clone(records)
		return checkDNSRecords(l3.DNSDomain, l3.DNSRecords)
	})
}

func checkDNSRecords(domain string, records []v1.DNSRecord) error {
	if n := len(records); n > MaxDNSRecords {
		return v1.Refused("too-many-dns-records", "%d DNS names; at most %d fit", n, MaxDNSRecords)
	}
	names, addresses := map[string]bool{}, map[netip.Addr]int{}
	for _, r := range records {
		if err := checkRecordName(domain, r.Name); err != nil {
			return err
		}
		if name := strings.ToLower(r.Name); names[name] {
			return v1.Refused("duplicate-dns-record", "DNS name %q is given twice; give it once with all its addresses", r.Name)
		} else {
			names[name] = true
		}
		if err := checkRecordIPs(r, addresses); err != nil {
			return err
		}
	}
	return nil
}

// checkRecordName: a name is within the network's domain, and both together
// are a name too (RFC 1035 section 2.3.4).
func checkRecordName(domain, name string) error {
	if err := v1.ValidateDNSName(name); err != nil {
		return err
	}
	if domain == "" {
		return nil
	}
	if rest, ok := strings.CutSuffix(strings.ToLower(name), "."+strings.ToLower(domain)); ok {
		return v1.Refused("dns-record-with-domain", "DNS name %q ends in the network's domain, which is put behind it; write %q", name, rest)
	}
	return v1.ValidateDNSName(name + "." + domain)
}

// checkRecordIPs counts how many names each address has.
func checkRecordIPs(r v1.DNSRecord, addresses map[netip.Addr]int) error {
	if n := len(r.IPs); n == 0 || n > MaxDNSAddresses {
		return v1.Refused("invalid-dns-record", "DNS name %q has %d addresses; give 1 to %d", r.Name, n, MaxDNSAddresses)
	}
	for i, ip := range r.IPs {
		if err := v1.ValidateIPv4("ips", ip); err != nil {
			return err
		}
		if slices.Contains(r.IPs[:i], ip) {
			return v1.Refused("duplicate-dns-record", "DNS name %q has %s twice; give each address once", r.Name, ip)
		}
		if addresses[ip]++; addresses[ip] > MaxDNSAddresses {
			return v1.Refused("too-many-dns-records", "%s has more than %d DNS names", ip, MaxDNSAddresses)
		}
	}
	return nil
}
