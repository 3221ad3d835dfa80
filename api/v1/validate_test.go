package v1

import (
	"net/netip"
	"strings"
	"testing"
)

// check runs values through a validator: those under "" hold, the others are
// refused with the code they stand under.
func check(t *testing.T, validate func(string) error, byCode map[string][]string) {
	t.Helper()
	for code, values := range byCode {
		for _, v := range values {
			if err := validate(v); Code(err) != code || (err == nil) != (code == "") {
				t.Errorf("%q: got %v, want %q", v, err, code)
			}
		}
	}
}

func TestValidateNames(t *testing.T) {
	t.Run("name", func(t *testing.T) {
		check(t, ValidateName, map[string][]string{
			"":             {"a", "web 1", "Zürich", "名前", strings.Repeat("ü", 255), `<b>"&;`},
			"invalid-name": {"", " a", "a ", "a\nb", "a\x00", "\xff", strings.Repeat("a", 256)},
		})
	})
	t.Run("description", func(t *testing.T) {
		check(t, ValidateDescription, map[string][]string{
			"":                    {"", "two\nlines\tand a tab", strings.Repeat("é", 2048)},
			"invalid-description": {strings.Repeat("a", 2049), "bell\a", "\xff"},
		})
	})
	t.Run("uuid", func(t *testing.T) {
		check(t, ValidateUUID, map[string][]string{
			"":             {"0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f"},
			"invalid-uuid": {"", "0199D1A0-7b1c-7d57-b1a5-9f3c6d1c2e4f", "0199d1a07b1c7d57b1a59f3c6d1c2e4f", "0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4g", "{199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f}"},
		})
	})
	t.Run("hostname", func(t *testing.T) {
		check(t, ValidateHostname, map[string][]string{
			"":                 {"a", "web-1", "3com", "A1", strings.Repeat("a", 63)},
			"invalid-hostname": {"", "-a", "a-", "a.b", "a_b", "a b", "ä", "a;reboot", strings.Repeat("a", 64)},
		})
	})
	t.Run("dns name", func(t *testing.T) {
		long := strings.Repeat(strings.Repeat("a", 49)+".", 5)
		check(t, ValidateDNSName, map[string][]string{
			"":                 {"example", "guest.example", "a-1.b2.example", long + "abc"},
			"invalid-dns-name": {"", ".", "a.", ".a", "a..b", "10.0.0.1", "a.1", "*.a", "a b.c", long + "abcd"},
		})
	})
	t.Run("interface", func(t *testing.T) {
		check(t, ValidateInterface, map[string][]string{
			"":                  {"eth0", "enp0s31f6", "bond0.100", "br_1", "abcdefghijklmno"},
			"invalid-interface": {"", ".", "..", "-a", "a/b", "a b", "eth0;x", "abcdefghijklmnop", "eth0\n"},
		})
	})
}

func TestValidateAddresses(t *testing.T) {
	t.Run("address", func(t *testing.T) {
		check(t, func(s string) error { _, err := ParseIPv4("ip", s); return err }, map[string][]string{
			"":                    {"10.0.0.1", "192.168.255.255", "223.255.255.255", "169.253.255.255"},
			"invalid-address":     {"", "10.0.0", "10.0.0.01", "010.0.0.1", "10.0.0.256", "0x0a.0.0.1", " 10.0.0.1", "10.0.0.1/24", "::ffff:10.0.0.1", "fe80::1%eth0"},
			"ipv6-unsupported":    {"fd00::1"},
			"address-not-unicast": {"0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"},
		})
	})
	t.Run("cidr", func(t *testing.T) {
		check(t, func(s string) error { _, err := ParseCIDR("cidr", s); return err }, map[string][]string{
			"":                 {"10.0.0.0/8", "192.168.10.0/24", "198.51.100.7/32"},
			"invalid-cidr":     {"", "10.0.0.0", "10.0.0.1/24", "010.0.0.0/8", "10.0.0.0/08", "10.0.0.0/33", "0.0.0.0/0", "::ffff:10.0.0.0/104", "10.0.0.0/255.0.0.0"},
			"ipv6-unsupported": {"fd00::/64"},
			"cidr-not-unicast": {"0.0.0.0/8", "0.0.0.0/1", "127.0.0.0/8", "127.3.0.0/16", "169.254.0.0/16", "169.254.1.0/24", "224.0.0.0/4", "240.0.0.0/8", "128.0.0.0/1"},
		})
	})
	t.Run("empty values", func(t *testing.T) {
		if Code(ValidateIPv4("ip", netip.Addr{})) != "invalid-address" || Code(ValidateCIDR("cidr", netip.Prefix{})) != "invalid-cidr" {
			t.Error("an empty address or prefix holds")
		}
	})
	t.Run("netmask", func(t *testing.T) {
		for s, want := range map[string]int{"255.255.255.0": 24, "255.0.0.0": 8, "255.255.255.255": 32, "128.0.0.0": 1, "255.255.255.252": 30} {
			bits, err := ParseNetmask(s)
			if err != nil || bits != want {
				t.Errorf("%s: %d, %v", s, bits, err)
			}
			if back := Netmask(netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), bits)); back != s {
				t.Errorf("/%d is %s, want %s", bits, back, s)
			}
		}
		check(t, func(s string) error { _, err := ParseNetmask(s); return err }, map[string][]string{
			"invalid-netmask": {"", "0.0.0.0", "255.0.255.0", "0.255.255.255", "24", "ffff::"},
		})
	})
	t.Run("mac", func(t *testing.T) {
		for s, want := range map[string]string{"0A:1B:2C:3D:4E:5F": "0a:1b:2c:3d:4e:5f", "52-54-00-12-34-56": "52:54:00:12:34:56"} {
			if got, err := ParseMAC(s); err != nil || got != want {
				t.Errorf("%s: %s, %v", s, got, err)
			}
		}
		check(t, func(s string) error { _, err := ParseMAC(s); return err }, map[string][]string{
			"invalid-mac": {"", "0a:1b:2c:3d:4e", "0a1b2c3d4e5f", "0a:1b:2c:3d:4e:5f:60", "0a:1b:2c:3d:4e:5g", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "fe:00:00:00:00:01", "0a1:b:2c:3d:4e:5f"},
		})
	})
	t.Run("port", func(t *testing.T) {
		for port, code := range map[int]string{1: "", 65535: "", 0: "invalid-port", -1: "invalid-port", 65536: "invalid-port"} {
			if got := Code(ValidatePort("p", port)); got != code {
				t.Errorf("%d: %q, want %q", port, got, code)
			}
		}
	})
}

func TestParseTag(t *testing.T) {
	const uuid = "0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f"
	check(t, func(s string) error { _, err := ParseTag(s); return err }, map[string][]string{
		"": {
			"guestL3Network::" + uuid, "virtualRouterOffering::" + uuid, "staticIp::" + uuid + "::10.0.0.5", "customMac::" + uuid + "::0a:00:00:00:00:01",
			"hostname::web-1", "cleanTraffic", "dedicatedHost::" + uuid, "commandsParallelismDegree::5", "disabledService::SNAT",
		},
		"unknown-tag": {"", "colour::red", "hostName::x", "::", "hostname"[:4]},
		"invalid-tag": {
			"guestL3Network", "guestL3Network::x", "staticIp::" + uuid, "staticIp::" + uuid + "::010.0.0.5", "customMac::" + uuid + "::01:00:5e:00:00:01",
			"hostname::a.b", "hostname::a::b", "cleanTraffic::yes", "cleanTraffic::", "commandsParallelismDegree::0", "commandsParallelismDegree::05", "commandsParallelismDegree::1000000", "disabledService::DHCP",
		},
	})
	got := TagValues([]string{"cleanTraffic", "staticIp::" + uuid + "::10.0.0.5", "nonsense"}, TagStaticIP)
	if len(got) != 1 || got[0][0] != uuid || got[0][1] != "10.0.0.5" {
		t.Errorf("values %v", got)
	}
}
