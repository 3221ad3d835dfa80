package agentv1

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func address(t *rapid.T, label string) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 12).Draw(t, label))})
}

// list draws entries with keys 0 to 11, each at most once.
func list[T any](t *rapid.T, label string, entry func(key int) T) []T {
	keys := rapid.SliceOfNDistinct(rapid.IntRange(0, 11), 0, 12, rapid.ID).Draw(t, label)
	var out []T
	for _, k := range keys {
		out = append(out, entry(k))
	}
	return out
}

func content(t *rapid.T, networks int) Content {
	c := Content{Hostname: rapid.SampledFrom([]string{"a", "a", "a", "b"}).Draw(t, "hostname")}
	for i := range networks {
		nic := fmt.Sprintf("02:00:00:00:00:%02x", i)
		c.DHCP = append(c.DHCP, DHCPNetwork{Interface: nic, MTU: 1500, Bindings: list(t, "bindings", func(k int) DHCPBinding {
			b := DHCPBinding{MAC: fmt.Sprintf("02:01:00:00:00:%02x", k), IP: address(t, "ip"), Hostname: "<&>"}
			if rapid.Bool().Draw(t, "options") {
				b.Options = map[uint8]string{42: "0a000001", uint8(60 + k): rapid.SampledFrom([]string{"00", "01"}).Draw(t, "value")}
			}
			return b
		})})
		c.DNS = append(c.DNS, DNSNetwork{Interface: nic, Domain: "x", Records: list(t, "records", func(k int) DNSRecord {
			return DNSRecord{Name: fmt.Sprintf("n%d", k), IP: address(t, "ip")}
		})})
	}
	c.EIPs = list(t, "eips", func(k int) EIP {
		return EIP{UUID: fmt.Sprintf("e%d", k), VIP: address(t, "vip"), Order: int64(k % 3)}
	})
	c.PortForwardings = list(t, "forwardings", func(k int) PortForwarding {
		return PortForwarding{UUID: fmt.Sprintf("f%d", k), VIP: address(t, "vip"), VIPPortStart: uint16(k)}
	})
	c.Sort()
	return c
}

func asJSON(c Content) string { return string(marshal(c)) }

func TestADifferenceMakesTheNextContentAndItsDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		networks := rapid.IntRange(0, 2).Draw(t, "networks")
		was, is := content(t, networks), content(t, networks)
		before := asJSON(was)
		change, ok := was.Difference(is)
		if ok != (was.Hostname == is.Hostname) {
			t.Fatalf("a difference in the head: ok=%v for host names %q, %q", ok, was.Hostname, is.Hostname)
		}
		if !ok {
			return
		}
		var sent Change // as it arrives
		if err := json.Unmarshal(marshal(change), &sent); err != nil {
			t.Fatal(err)
		}
		got, err := was.Changed(sent)
		if err != nil {
			t.Fatal(err)
		}
		if asJSON(got) != asJSON(is) {
			t.Fatalf("changed:\n%s\nwant:\n%s", asJSON(got), asJSON(is))
		}
		if asJSON(was) != before {
			t.Fatal("the content before was changed itself")
		}
		if d := was.Digest().Changed(sent); d != is.Digest() || d.String() != is.Hash() {
			t.Fatal("digest of the change is not that of the next content")
		}
		if (was.Hash() == is.Hash()) != (asJSON(was) == asJSON(is)) || change.Len() == 0 != (was.Hash() == is.Hash()) {
			t.Fatal("equal hash, other content")
		}
	})
}

func TestADigestOfJSONIsThatOfTheContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := content(t, rapid.IntRange(0, 2).Draw(t, "networks"))
		d, err := DigestJSON(marshal(c))
		if err != nil || d != c.Digest() {
			t.Fatalf("digest of %s: %v", asJSON(c), err)
		}
	})
}

func TestADigestOfJSONCountsUnknownFields(t *testing.T) {
	plain := `{"hostname":"a","interfaces":null,"dhcp":[{"interface":"m","mtu":1500,"bindings":[{"mac":"x"}]}],"eips":[{"uuid":"e"}]}`
	seen := map[Digest]string{}
	for _, text := range []string{
		plain,
		strings.Replace(plain, `"hostname":"a"`, `"hostname":"a","later":1`, 1),
		strings.Replace(plain, `"mtu":1500`, `"mtu":1500,"later":1`, 1),
		strings.Replace(plain, `{"mac":"x"}`, `{"mac":"x","later":1}`, 1),
		strings.Replace(plain, `{"uuid":"e"}`, `{"uuid":"e","later":1}`, 1),
		strings.Replace(plain, `{"uuid":"e"}`, `{"uuid":"e"},{"uuid":"e"}`, 1),
	} {
		d, err := DigestJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[d]; ok {
			t.Errorf("%s has the digest of %s", text, other)
		}
		seen[d] = text
	}
	spaced, err := DigestJSON([]byte(strings.NewReplacer(":", " : ", ",", " ,\n").Replace(plain)))
	if first := seen[spaced]; err != nil || first != plain {
		t.Errorf("spaces count: %v, %q", err, first)
	}
	for _, bad := range []string{``, `[]`, `{"eips":1}`, `{"dhcp":{}}`, `{"dhcp":[1]}`, `{`} {
		if _, err := DigestJSON([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestAChangeThatDoesNotFitIsRefused(t *testing.T) {
	c := Content{
		EIPs: []EIP{{UUID: "a", Order: 1}, {UUID: "b", Order: 2}},
		DHCP: []DHCPNetwork{{Interface: "m", Bindings: []DHCPBinding{{MAC: "x", Hostname: "h"}}}},
	}
	for want, change := range map[string]Change{
		"not there as it was":           {EIPs: Edit[EIP]{Remove: []EIP{{UUID: "a", Order: 1, VIP: netip.MustParseAddr("10.0.0.1")}}}},
		"c (invalid IP) is to be re":    {EIPs: Edit[EIP]{Remove: []EIP{{UUID: "c"}}}},
		"is there already":              {EIPs: Edit[EIP]{Add: []EIP{{UUID: "b", Order: 2}}}},
		"binding x is to be removed":    {DHCP: []BindingsEdit{{"m", Edit[DHCPBinding]{Remove: []DHCPBinding{{MAC: "x"}}}}}},
		`DHCP network on interface "n"`: {DHCP: []BindingsEdit{{"n", Edit[DHCPBinding]{}}}},
		`DNS network on interface "n"`:  {DNS: []RecordsEdit{{"n", Edit[DNSRecord]{}}}},
	} {
		got, err := c.Changed(change)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if !reflect.DeepEqual(got, Content{}) {
			t.Errorf("%s: content with an error", want)
		}
	}
}

func BenchmarkChangeOfOneAmongMany(b *testing.B) {
	var c Content
	for i := range 10_000 {
		c.EIPs = append(c.EIPs, EIP{UUID: fmt.Sprintf("0199b2a4-0000-7000-b000-%012d", i), Order: int64(i)})
	}
	d := c.Digest()
	change := Change{EIPs: Edit[EIP]{Remove: c.EIPs[5000:5001], Add: []EIP{{UUID: c.EIPs[5000].UUID, Order: 5000, VIP: netip.MustParseAddr("10.0.0.1")}}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Changed(change); err != nil {
			b.Fatal(err)
		}
		_ = d.Changed(change)
	}
}

func BenchmarkDigest(b *testing.B) {
	var c Content
	for i := range 10_000 {
		c.EIPs = append(c.EIPs, EIP{UUID: fmt.Sprintf("0199b2a4-0000-7000-b000-%012d", i), Order: int64(i)})
	}
	for b.Loop() {
		_ = c.Digest()
	}
}
