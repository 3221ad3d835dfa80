package v1_test

import (
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// seeds are values that have been taken for what they are not, somewhere.
var seeds = []string{
	"", "web", "10.0.0.1", "010.0.0.1", "::ffff:10.0.0.1", "10.0.0.1%eth0", "10.0.0.0/24", "10.0.0.1/24", "0.0.0.0/0", "10.0.0.0/024", "::/0",
	"a\nb", "]]>", "<x/>", "&amp;", "\x00", "\u202e", "a b", " a", "a-", "-a", "a.b", "..", "../x", "1e400", "٣", "é", "\xff", strings.Repeat("n", 10_000),
	"255.255.255.0", "255.0.255.0", "0a:1b:2c:3d:4e:5f", "0A-1B-2C-3D-4E-5F", "fe:00:00:00:00:01", "01:00:00:00:00:00", "0a:1b:2c:3d:4e", "eth0", "eth0;id", "0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f",
	"cleanTraffic", "cleanTraffic::", "hostname::web", "commandsParallelismDegree::007", "staticIp::0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f::010.0.0.1",
	"customMac::0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f::0a:1b:2c:3d:4e:5f", "disabledService::SNAT",
}

// Whatever is accepted is one line within its limits that nothing can take for
// more than it is, and what it is read as is written and read as the same again.
func FuzzValues(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for what, limit := range map[string]struct {
			check func(string) error
			most  int
		}{
			"hostname": {v1.ValidateHostname, 63}, "DNS name": {v1.ValidateDNSName, 253}, "interface": {v1.ValidateInterface, 15}, "uuid": {v1.ValidateUUID, 36},
		} {
			if limit.check(s) == nil && (s == "" || len(s) > limit.most || strings.ContainsFunc(s, odd)) {
				t.Errorf("%s %q is accepted", what, s)
			}
		}
		if v1.ValidateName(s) == nil && (s == "" || utf8.RuneCountInString(s) > v1.MaxName || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl)) {
			t.Errorf("name %q is accepted", s)
		}
		if ip, err := v1.ParseIPv4("ip", s); err == nil {
			if again, err := v1.ParseIPv4("ip", ip.String()); err != nil || again != ip || ip.String() != s || !ip.Is4() {
				t.Errorf("address %q is read as %s", s, ip)
			}
		}
		if p, err := v1.ParseCIDR("cidr", s); err == nil {
			if again, err := v1.ParseCIDR("cidr", p.String()); err != nil || again != p || p.String() != s || p != p.Masked() || p.Bits() == 0 {
				t.Errorf("prefix %q is read as %s", s, p)
			}
		}
		if bits, err := v1.ParseNetmask(s); err == nil && v1.Netmask(netip.PrefixFrom(netip.IPv4Unspecified(), bits)) != s {
			t.Errorf("netmask %q is read as /%d", s, bits)
		}
		if mac, err := v1.ParseMAC(s); err == nil {
			if again, err := v1.ParseMAC(mac); err != nil || again != mac || len(mac) != 17 || mac != strings.ToLower(strings.ReplaceAll(s, "-", ":")) {
				t.Errorf("MAC %q is read as %q", s, mac)
			}
		}
		if tag, err := v1.ParseTag(s); err == nil {
			if strings.Join(append([]string{tag.Pattern}, tag.Args...), "::") != s || strings.ContainsFunc(s, func(r rune) bool { return odd(r) && r != ':' }) || len(s) > 512 {
				t.Errorf("tag %q is read as %+v", s, tag)
			}
		}
	})
}

// odd is what stands in no host name, domain, interface or UUID.
func odd(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
}
