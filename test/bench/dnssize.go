package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/services/dns"
)

const (
	dnsManyNames   = 65000
	dnsManyChanges = 21
	// Goals are those of DHCP.
	goalDNSStart  = goalDHCPStart
	goalDNSChange = goalDHCPChange
)

// dnsSizes is what dns-change prints.
type dnsSizes struct {
	Start  float64 `json:"start"`  // s
	Change float64 `json:"change"` // ms, median
	Bytes  float64 `json:"bytes"`  // a name, of the heap
}

// dnsSize measures a network of 65,000 names: from the start of the service to
// the first answer, one name moved, and memory.
func dnsSize(ctx context.Context, b *bench) ([]result, error) {
	l, err := b.wired(ctx)
	if err != nil {
		return nil, err
	}
	var starts, changes, bytes []float64
	for range b.runs {
		out, err := l.In(ctx, serverNS, pinned(serverCPU, b.self, "dns-change")...)
		if err != nil {
			return nil, err
		}
		var s dnsSizes
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			return nil, fmt.Errorf("read %q: %w", out, err)
		}
		starts, changes, bytes = append(starts, s.Start), append(changes, s.Change), append(bytes, s.Bytes)
	}
	remark("dns-start, dns-change: %d names, %.0f bytes of heap a name with the spec's own, load=%s", dnsManyNames, median(bytes), load())
	return []result{
		bound("dns-start", "s", median(starts), goalDNSStart),
		bound("dns-change", "ms", median(changes), goalDNSChange),
	}, nil
}

// dnsChangeMain has the service itself apply 65,000 names, then one change after
// the other; each is over when its answer has come.
func dnsChangeMain() error {
	c := guests(dnsManyNames)
	c.DHCP = nil
	c.Sort()
	before := dhcpHeap()
	s, links := dns.New(slog.New(slog.NewTextHandler(io.Discard, nil))), dataplane.Links{serverMAC: "eth0"}
	defer s.Close()
	var out dnsSizes
	began := time.Now()
	if _, err := s.Want(c, links); err != nil {
		return err
	}
	if err := s.Apply(context.Background(), c, links); err != nil {
		return err
	}
	if err := dnsAnswers(c, c.DNS[0].Records[dnsManyNames-1]); err != nil {
		return err
	}
	out.Start = time.Since(began).Seconds()
	out.Bytes = float64(dhcpHeap()-before) / dnsManyNames
	claims := dns.NewClaims(c)
	var took []float64
	for i := range dnsManyChanges {
		was := c.DNS[0].Records[i*1000]
		is := agentv1.DNSRecord{Name: was.Name, IP: netip.AddrFrom4([4]byte{10, 95, 255, byte(10 + i)})}
		ch := agentv1.Change{DNS: []agentv1.RecordsEdit{{Interface: c.DNS[0].Interface, Records: agentv1.Edit[agentv1.DNSRecord]{
			Remove: []agentv1.DNSRecord{was}, Add: []agentv1.DNSRecord{is}}}}}
		began := time.Now()
		next, err := changed(s, claims, c, ch, links)
		if err != nil {
			return err
		}
		if err := dnsAnswers(next, is); err != nil {
			return err
		}
		took = append(took, float64(time.Since(began))/1e6)
		c = next
	}
	out.Change = median(took)
	return json.NewEncoder(os.Stdout).Encode(out)
}

// dnsAnswers asks for a record once.
func dnsAnswers(c agentv1.Content, r agentv1.DNSRecord) error {
	m := new(miekg.Msg)
	m.SetQuestion(miekg.Fqdn(r.Name+"."+c.DNS[0].Domain), miekg.TypeA)
	got, _, err := (&miekg.Client{Timeout: time.Second}).Exchange(m, net.JoinHostPort(serverIP.String(), strconv.Itoa(dns.Port)))
	if err != nil {
		return fmt.Errorf("ask for %s: %w", r.Name, err)
	}
	if len(got.Answer) == 1 {
		if a, ok := got.Answer[0].(*miekg.A); ok && a.A.String() == r.IP.String() {
			return nil
		}
	}
	return fmt.Errorf("asked for %s: got %v, want %v", r.Name, got.Answer, r.IP)
}
