package dataplane_test

import (
	"net/netip"
	"testing"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

func TestStale(t *testing.T) {
	w := kerneltest.WantAll()
	old := map[netip.Prefix]struct{}{netip.MustParsePrefix("10.7.0.0/24"): {}}
	stale := dataplane.Stale(dataplane.Planned(w), old)
	const tcp, udp, icmp = 6, 17, 1
	for name, c := range map[string]struct {
		protocol                     uint8
		from, to, replyFrom, replyTo string
		want                         bool
	}{
		"eip in":                        {tcp, "198.51.100.1:1", "203.0.113.50:22", "10.0.0.10:22", "198.51.100.1:1", false},
		"eip in, icmp":                  {icmp, "198.51.100.1:0", "203.0.113.50:0", "10.0.0.10:0", "198.51.100.1:0", false},
		"eip to another guest":          {tcp, "198.51.100.1:1", "203.0.113.50:22", "10.0.0.11:22", "198.51.100.1:1", true},
		"eip that is gone":              {tcp, "198.51.100.1:1", "203.0.113.59:22", "10.0.0.10:22", "198.51.100.1:1", true},
		"eip of a network that is gone": {tcp, "198.51.100.1:1", "203.0.113.59:22", "10.7.0.10:22", "198.51.100.1:1", true},
		"eip out":                       {tcp, "10.0.0.10:5", "198.51.100.1:1", "198.51.100.1:1", "203.0.113.51:5", false},
		"second eip out":                {tcp, "10.0.0.10:5", "198.51.100.1:1", "198.51.100.1:1", "203.0.113.50:5", false},
		"general, before its eip":       {tcp, "10.0.0.10:5", "198.51.100.1:1", "198.51.100.1:1", "203.0.113.2:4242", false},
		"general":                       {udp, "10.0.0.11:5", "198.51.100.1:1", "198.51.100.1:1", "203.0.113.2:4242", false},
		"out by another's eip":          {udp, "10.0.0.11:5", "198.51.100.1:1", "198.51.100.1:1", "203.0.113.50:5", true},
		"network that is gone, out":     {udp, "10.7.0.11:5", "198.51.100.1:1", "198.51.100.1:1", "203.0.113.2:5", true},
		"forwarded":                     {tcp, "198.51.100.1:1", "203.0.113.2:81", "10.0.0.11:8081", "198.51.100.1:1", false},
		"forwarded to another port":     {tcp, "198.51.100.1:1", "203.0.113.2:81", "10.0.0.11:8080", "198.51.100.1:1", true},
		"forwarded, other protocol":     {udp, "198.51.100.1:1", "203.0.113.2:81", "10.0.0.11:8081", "198.51.100.1:1", true},
		"allowed":                       {tcp, "198.51.100.1:1", "203.0.113.2:22", "10.0.0.12:22", "198.51.100.1:1", false},
		"not allowed":                   {tcp, "192.0.2.1:1", "203.0.113.2:22", "10.0.0.12:22", "192.0.2.1:1", true},
		"hairpin":                       {tcp, "10.0.0.11:9", "203.0.113.50:22", "10.0.0.10:22", "10.0.0.1:77", false},
		"hairpin that is gone":          {tcp, "10.0.0.11:9", "203.0.113.59:22", "10.0.0.10:22", "10.0.0.1:77", true},
		"guest to router":               {udp, "10.0.0.11:9", "10.0.0.1:53", "10.0.0.1:53", "10.0.0.11:9", false},
		"router to upstream":            {udp, "203.0.113.2:9", "198.51.100.1:53", "198.51.100.1:53", "203.0.113.2:9", false},
		"agent":                         {tcp, "192.0.2.9:9", "192.0.2.2:7443", "192.0.2.2:7443", "192.0.2.9:9", false},
		"router's port, now forwarded":  {tcp, "198.51.100.1:1", "203.0.113.2:80", "203.0.113.2:80", "198.51.100.1:1", true},
		"a stranger's translation":      {tcp, "172.16.0.1:1", "172.16.0.9:80", "172.16.9.9:80", "172.16.0.1:1", false},
		"a stranger's masquerade":       {tcp, "172.16.0.1:1", "198.51.100.1:80", "198.51.100.1:80", "203.0.113.2:7", false},
	} {
		ap := netip.MustParseAddrPort
		f := dataplane.Flow{Protocol: c.protocol, From: ap(c.from), To: ap(c.to), ReplyFrom: ap(c.replyFrom), ReplyTo: ap(c.replyTo)}
		if got := stale(f); got != c.want {
			t.Errorf("%s: stale is %t", name, got)
		}
	}
}
