package model

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestDNSRecords(t *testing.T) {
	one := []netip.Addr{ip("192.0.2.7")}
	many, crowd := []v1.DNSRecord{}, []v1.DNSRecord{}
	for i := range MaxDNSRecords + 1 {
		many = append(many, v1.DNSRecord{Name: fmt.Sprint("h", i), IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i / 256), byte(i)})}})
	}
	for i := range MaxDNSAddresses + 1 {
		crowd = append(crowd, v1.DNSRecord{Name: fmt.Sprint("h", i), IPs: one})
	}
	long := strings.Repeat(strings.Repeat("a", 60)+".", 4) + "example" // 251; a name for itself
	for name, test := range map[string]struct {
		records []v1.DNSRecord
		code    string
	}{
		"names":                  {[]v1.DNSRecord{{Name: "db", IPs: one}, {Name: "a.deep", IPs: []netip.Addr{ip("10.0.0.1"), ip("10.0.0.2")}}}, ""},
		"none":                   {[]v1.DNSRecord{}, ""},
		"no address":             {[]v1.DNSRecord{{Name: "db"}}, "invalid-dns-record"},
		"twice, in other case":   {[]v1.DNSRecord{{Name: "db", IPs: one}, {Name: "DB", IPs: one}}, "duplicate-dns-record"},
		"an address twice":       {[]v1.DNSRecord{{Name: "db", IPs: []netip.Addr{one[0], one[0]}}}, "duplicate-dns-record"},
		"no name":                {[]v1.DNSRecord{{Name: "a b", IPs: one}}, "invalid-dns-name"},
		"with the domain":        {[]v1.DNSRecord{{Name: "db.Demo.example", IPs: one}}, "dns-record-with-domain"},
		"too long with domain":   {[]v1.DNSRecord{{Name: long, IPs: one}}, "invalid-dns-name"},
		"no address of a host":   {[]v1.DNSRecord{{Name: "db", IPs: []netip.Addr{ip("127.0.0.1")}}}, "address-not-unicast"},
		"too many":               {many, "too-many-dns-records"},
		"too many of an address": {crowd, "too-many-dns-records"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.ok(w.patch(L3Networks, w.guest, `{"dnsDomain":"demo.example"}`))
			w.clean()
			_, err := SetDNSRecords(w.tx, w.guest, test.records)
			w.held(test.code, err)
			w.tx = NewTx(w.tx.View, w.tx.Now)
			w.ok(w.patch(L3Networks, w.guest, `{"dnsRecords":null}`))
			w.clean()
			w.held(test.code, w.patch(L3Networks, w.guest, `{"dnsRecords":`+asJSON(test.records)+`}`))
			_, err = CreateL3Network(w.tx, v1.CreateL3Network{CreateMeta: named("made"), L2NetworkUUID: w.l2Guest, DNSDomain: "demo.example", DNSRecords: test.records})
			w.held(test.code, err)
		})
	}
	w := newWorld(t)
	_, err := SetDNSRecords(w.tx, w.guest, []v1.DNSRecord{{Name: "db.demo.example", IPs: one}})
	w.ok(err)
	w.clean()
	w.refused("dns-record-with-domain", w.patch(L3Networks, w.guest, `{"dnsDomain":"demo.example"}`))
}
