package dns

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Port is where the server listens, UDP and TCP.
const Port = 53

const serviceName = "dns"

// maxPerName bounds the addresses of one name, so that a TCP answer holds them.
const maxPerName = 1000

// Config is what one guest network's server is to be. It is a value: who has it
// may keep it, and nobody changes it.
type Config struct {
	// Interface is the MAC of the guest nic.
	Interface string
	// Listen are IPv4 addresses.
	Listen []netip.Addr
	// Domain is lower case, without a trailing dot; may be empty.
	Domain string
	// Subnet is the guest CIDR, 8 to 32 bits.
	Subnet netip.Prefix
	// Records are the guests' names.
	Records []agentv1.DNSRecord
	// Upstreams are asked in order; none: only local names are answered.
	Upstreams []netip.AddrPort
	// TLS asks them over TLS only; nil: plain DNS.
	TLS *agentv1.DNSTLS
	// Blocked are addresses that no upstream may give a guest.
	Blocked []netip.Prefix
	// ForwardSingleLabel lets names of one label out, for a network whose
	// guests validate DNSSEC themselves and need DS records of top-level
	// domains. No field of the spec asks for it so far.
	ForwardSingleLabel bool
}

// Plan turns a spec into one Config per guest network, in the spec's order. It
// is pure; a wrong value is a *dataplane.FieldError.
func Plan(c agentv1.Content) ([]Config, error) {
	nics := make(map[string]agentv1.Interface, len(c.Interfaces))
	blocked := alwaysBlocked()
	for _, nic := range c.Interfaces {
		nics[nic.MAC] = nic
		if nic.HasRole(agentv1.RoleManagement) {
			for _, p := range nic.Addresses {
				blocked = append(blocked, p.Masked())
			}
		}
	}
	configs := make([]Config, 0, len(c.DNS))
	seen := make(map[string]bool, len(c.DNS))
	for i, n := range c.DNS {
		field := fmt.Sprintf("/content/dns/%d", i)
		if seen[n.Interface] {
			return nil, dataplane.Fieldf(field+"/interface", "nic %s has a DNS network already", n.Interface)
		}
		seen[n.Interface] = true
		nic, ok := nics[n.Interface]
		if !ok || !nic.HasRole(agentv1.RoleGuest) {
			return nil, dataplane.Fieldf(field+"/interface", "%q is no guest nic of this router", n.Interface)
		}
		if nic.HasRole(agentv1.RoleManagement) || nic.HasRole(agentv1.RolePublic) {
			return nil, dataplane.Fieldf(field+"/interface", "%q is a management or public nic: DNS is answered on guest nics only", n.Interface)
		}
		if err := check(field, n); err != nil {
			return nil, err
		}
		configs = append(configs, Config{
			Interface: n.Interface,
			Listen:    n.Listen,
			Domain:    strings.ToLower(n.Domain),
			Subnet:    n.Subnet.Masked(),
			Records:   n.Records,
			Upstreams: n.Upstreams,
			TLS:       n.TLS,
			Blocked:   blocked,
		})
	}
	return configs, nil
}

// check validates one network of the spec.
func check(field string, n agentv1.DNSNetwork) error {
	if len(n.Listen) == 0 {
		return dataplane.Fieldf(field+"/listen", "no address to listen on")
	}
	listen := make(map[netip.Addr]bool, len(n.Listen))
	for i, a := range n.Listen {
		if !a.Is4() || a.IsUnspecified() || a.IsMulticast() || listen[a] {
			return dataplane.Fieldf(fmt.Sprintf("%s/listen/%d", field, i), "%v is no unicast IPv4 address, or listed twice", a)
		}
		listen[a] = true
	}
	if n.Domain != "" {
		if err := checkName(n.Domain, 0); err != nil {
			return dataplane.Fieldf(field+"/domain", "%w", err)
		}
	}
	if !n.Subnet.IsValid() || !n.Subnet.Addr().Is4() || n.Subnet.Bits() < 8 {
		return dataplane.Fieldf(field+"/subnet", "%v is no IPv4 network of 8 to 32 bits", n.Subnet)
	}
	for i, u := range n.Upstreams {
		if !u.IsValid() || u.Port() == 0 || u.Addr().IsUnspecified() || u.Addr().IsMulticast() {
			return dataplane.Fieldf(fmt.Sprintf("%s/upstreams/%d", field, i), "%v is no unicast address and port", u)
		}
		if listen[u.Addr()] && u.Port() == Port {
			return dataplane.Fieldf(fmt.Sprintf("%s/upstreams/%d", field, i), "%v is this server itself", u)
		}
	}
	if err := checkTLS(n.TLS); err != nil {
		return dataplane.Fieldf(field+"/tls", "%w", err)
	}
	return checkRecords(field, n)
}

func checkTLS(t *agentv1.DNSTLS) error {
	if t == nil {
		return nil
	}
	if _, err := netip.ParseAddr(t.ServerName); err != nil {
		if err := checkName(t.ServerName, 0); err != nil {
			return fmt.Errorf("server name: %w", err)
		}
	}
	if t.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA)) {
		return errors.New("ca has no certificate in PEM form")
	}
	return nil
}

func checkRecords(field string, n agentv1.DNSNetwork) error {
	perName := make(map[string]uint16, len(n.Records))
	perAddr := make(map[netip.Addr]uint16, len(n.Records))
	for i := range n.Records {
		r := &n.Records[i]
		at := func() string { return fmt.Sprintf("%s/records/%d", field, i) }
		if err := checkRecord(at, n.Domain, r); err != nil {
			return err
		}
		name := strings.ToLower(r.Name)
		perName[name]++
		perAddr[r.IP]++
		if perName[name] > maxPerName || perAddr[r.IP] > maxPerName {
			return tooMany(at())
		}
	}
	return nil
}

// checkRecord checks one record of a network with a domain; at is its pointer.
func checkRecord(at func() string, domain string, r *agentv1.DNSRecord) error {
	if err := checkName(r.Name, len(domain)+1); err != nil {
		return dataplane.Fieldf(at()+"/name", "%w", err)
	}
	if !r.IP.IsValid() || r.IP.Is4In6() || r.IP.Zone() != "" {
		return dataplane.Fieldf(at()+"/ip", "%v is no IPv4 or IPv6 address", r.IP)
	}
	return nil
}

func tooMany(at string) error {
	return dataplane.Fieldf(at, "name or address has more than %d records", maxPerName)
}

// checkName accepts dotted names of letters, digits, - and _ with labels of 1
// to 63 bytes; extra is what will be put behind it, of 253 in all (RFC 1035
// §2.3.4).
func checkName(name string, extra int) error {
	if name == "" || len(name)+extra > 253 {
		return fmt.Errorf("name %q is empty or too long", name)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabelLen {
			return fmt.Errorf("name %q has a label that is empty or longer than %d", name, maxLabelLen)
		}
		for _, c := range []byte(label) {
			if l := lowerByte(c); l != '-' && l != '_' && (l < '0' || l > '9') && (l < 'a' || l > 'z') {
				return fmt.Errorf("name %q has the character %q", name, c)
			}
		}
	}
	return nil
}

// Name is the service's name in status and logs.
func (s *Server) Name() string { return serviceName }

// Want opens port 53 on the guest nics. It does no I/O and checks the whole of
// the DNS part of the spec.
func (s *Server) Want(c agentv1.Content, links dataplane.Links) (dataplane.Want, error) {
	configs, err := s.planned.of(c)
	if err != nil {
		return dataplane.Want{}, err
	}
	var w dataplane.Want
	for _, cfg := range configs {
		link, ok := links[cfg.Interface]
		if !ok {
			return dataplane.Want{}, fmt.Errorf("find nic %s of a DNS network: not present", cfg.Interface)
		}
		for _, protocol := range []string{"udp", "tcp"} {
			w.Inputs = append(w.Inputs, dataplane.Input{Link: link, Protocol: protocol, Port: Port, Owner: serviceName})
		}
	}
	return w, nil
}
