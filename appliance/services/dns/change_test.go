package dns

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// hosts are few names and addresses, so that they meet: in other case, as bare
// and whole names, below one another, at the apex, below zones of others.
var (
	hostNames = []string{"web", "WEB", "db", "b", "a.b", "c.a.b", "web.lan.example", "localhost", "x.local", "lan.example"}
	hostIPs   = []string{"10.1.2.10", "10.1.2.11", "10.1.2.12", "10.1.3.10", "192.0.2.7", "2001:db8::6", "2001:db8::7"}
)

// anyRecords draws a sorted list without doubles.
func anyRecords(t *rapid.T) []agentv1.DNSRecord {
	all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) agentv1.DNSRecord {
		return agentv1.DNSRecord{
			Name: rapid.SampledFrom(hostNames).Draw(t, "name"),
			IP:   netip.MustParseAddr(rapid.SampledFrom(hostIPs).Draw(t, "ip")),
		}
	}), 0, 12).Draw(t, "records")
	slices.SortFunc(all, agentv1.CompareRecords)
	return slices.Compact(all)
}

// oracle is what a zone has to answer, worked out from the records alone.
type oracle map[string]map[uint16][]string // data by name and type; no type: between

func (o oracle) add(name string, typ uint16, data []byte, apexes ...string) {
	if o[name] == nil {
		o[name] = map[uint16][]string{}
	}
	if set := o[name][typ]; !slices.Contains(set, string(data)) {
		o[name][typ] = append(set, string(data))
	}
	for _, apex := range apexes {
		for at := name; strings.HasSuffix(at, "."+apex); _, at, _ = strings.Cut(at, ".") {
			if o[at] == nil {
				o[at] = map[uint16][]string{}
			}
		}
	}
}

func newOracle(c Config) oracle {
	o := oracle{}
	for _, r := range c.Records {
		name, typ := strings.ToLower(r.Name), uint16(typeA)
		if r.IP.Is6() {
			typ = typeAAAA
		}
		if name != "localhost" {
			o.add(name, typ, r.IP.AsSlice(), c.Domain, "local")
		}
		if c.Domain != "" {
			name += "." + c.Domain
			o.add(name, typ, r.IP.AsSlice(), c.Domain)
		}
		if c.Subnet.Contains(r.IP) {
			reverse, _ := dns.ReverseAddr(r.IP.String())
			o.add(strings.TrimSuffix(reverse, "."), typePTR, appendName(nil, name), "1.10.in-addr.arpa")
		}
	}
	return o
}

// check asks a zone for all names that ever were, and some below and above.
func (o oracle) check(t *rapid.T, z *zone, asked map[string]bool) {
	for name := range o {
		asked[name], asked["below."+name] = true, true
	}
	for name := range asked {
		for _, typ := range []uint16{typeA, typeAAAA, typePTR, typeANY} {
			var q query
			pkt := appendName([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"), name)
			q.parse(append(pkt, byte(typ>>8), byte(typ), 0, classIN), false)
			a := answer{soa: noSOA}
			here := z.lookup(&q, &a)
			at, apex, _ := z.apexOf(&q)
			want := o.body(name, typ)
			switch _, exists := o[name]; {
			case want != nil:
				if string(a.body) != string(want) || int(a.an) != len(o.set(name, typ)) {
					t.Fatalf("%s %d: %d records %x, want %x", name, typ, a.an, a.body, want)
				}
			case here && a.an == 0 && !a.soaAnswers:
				exists = exists || at == 0 && apex.negativeTTL > 0 || apex.loopback
				if (a.rcode == rcodeSuccess) != exists {
					t.Fatalf("%s %d: rcode %d, exists %v", name, typ, a.rcode, exists)
				}
			case exists && !here:
				t.Fatalf("%s %d: not answered", name, typ)
			case a.an > 0 && !apex.loopback && at > 0 && typ != typeANY:
				t.Fatalf("%s %d: answered with %x", name, typ, a.body)
			}
		}
	}
}

// set is what answers a question: the first type of all to ANY.
func (o oracle) set(name string, typ uint16) []string {
	if typ == typeANY {
		if types := slices.Sorted(maps.Keys(o[name])); len(types) > 0 {
			typ = types[0]
		}
	}
	return slices.Sorted(slices.Values(o[name][typ]))
}

func (o oracle) body(name string, typ uint16) (b []byte) {
	set := o.set(name, typ)
	if typ == typeANY && len(set) > 0 {
		typ = slices.Min(slices.Collect(maps.Keys(o[name])))
	}
	for _, data := range set {
		b = appendRecord(b, typ, localTTL, []byte(data))
	}
	return b
}

// TestChangesAreTheWhole: however the records came and went, the answers are
// those to the records that there are: addresses, names, order, what exists and
// what does not.
func TestChangesAreTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Domain: rapid.SampledFrom([]string{"lan.example", "", "corp.local"}).Draw(t, "domain"),
			Subnet: netip.MustParsePrefix("10.1.0.0/16"), Records: anyRecords(t),
		}
		z, asked := newZone(c), map[string]bool{"1.10.in-addr.arpa": true, "nobody": true}
		newOracle(c).check(t, z, asked)
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			next := c
			next.Records = anyRecords(t)
			ch, _ := content(c).Difference(content(next))
			for _, e := range ch.DNS {
				e.Records.Remove = rapid.Permutation(e.Records.Remove).Draw(t, "removed")
				e.Records.Add = rapid.Permutation(e.Records.Add).Draw(t, "added")
				z = z.edited(next, e.Records)
			}
			c = next
			newOracle(c).check(t, z, asked)
			if whole := newZone(c); whole.names.len != z.names.len {
				t.Fatalf("%d names are kept of %d", z.names.len, whole.names.len)
			}
		}
	})
}

func content(c Config) agentv1.Content {
	return agentv1.Content{DNS: []agentv1.DNSNetwork{{Interface: guestMAC, Records: c.Records}}}
}

// TestGrow: a zone that grows by changes alone still finds everything, in pages
// that are not too large, and nothing once all has gone.
func TestGrow(t *testing.T) {
	c := Config{Domain: "lan.example", Subnet: netip.MustParsePrefix("10.1.0.0/16")}
	z := newZone(c)
	var full agentv1.Content
	full.DNS = make([]agentv1.DNSNetwork, 1)
	many(&full, 5000)
	for list := range slices.Chunk(full.DNS[0].Records, 100) {
		c.Records = append(c.Records, list...)
		z = z.edited(c, agentv1.Edit[agentv1.DNSRecord]{Add: list})
	}
	if z.names.crowded() || len(z.names.pages) < 10 {
		t.Errorf("%d names in %d pages", z.names.len, len(z.names.pages))
	}
	for i := range full.DNS[0].Records {
		if _, ok := z.names.find(appendName(nil, fmt.Sprintf("guest-%d.lan.example", i))); !ok {
			t.Fatalf("guest-%d is lost", i)
		}
	}
	for list := range slices.Chunk(full.DNS[0].Records, 700) {
		z = z.edited(c, agentv1.Edit[agentv1.DNSRecord]{Remove: list})
	}
	if z.names.len != 0 {
		t.Errorf("%d names are left", z.names.len)
	}
}

// TestChangeIsApply: a changed server is as one to which all was applied, and
// only the names are others than before.
func TestChangeIsApply(t *testing.T) {
	s := running(t, sample(), nil)
	sv := s.served[guestMAC]
	listener, before := sv.listeners[sample().DNS[0].Listen[0]], sv.net.table.Load()
	c := sample()
	c.Sort()
	rapid.Check(t, func(t *rapid.T) {
		next := c
		next.DNS = slices.Clone(c.DNS)
		next.DNS[0].Records = anyRecords(t)
		ch, ok := c.Difference(next)
		if !ok {
			t.Fatal("the heads differ")
		}
		next, err := c.Changed(ch)
		if err == nil {
			err = errors.Join(s.CheckChange(c, ch), s.Change(t.Context(), next, ch, loLinks))
		}
		if err != nil {
			t.Fatal(err)
		}
		now := sv.net.table.Load()
		newOracle(now.config).check(t, now.zone, map[string]bool{"web": true, "web.lan.example": true})
		if now.resolver != before.resolver || now.guests != before.guests || sv.listeners[next.DNS[0].Listen[0]] != listener {
			t.Fatal("more than names changed")
		}
		if err := s.Apply(t.Context(), next, loLinks); err != nil || sv.net.table.Load().zone != now.zone {
			t.Fatalf("applied again is not the same: %v", err)
		}
		c = next
	})
}

// TestCheckChangeIsWant: a change is refused where Want refuses what it leads
// to, and nowhere else; change after change.
func TestCheckChangeIsWant(t *testing.T) {
	s := New(quiet)
	defer s.Close()
	full := append(manyOf("same", maxPerName-2), manyOf("other", 7)...)
	for i := range maxPerName - 2 {
		full = append(full, agentv1.DNSRecord{Name: fmt.Sprint("alias", i), IP: netip.MustParseAddr("10.1.2.200")})
	}
	taken, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		c := sample()
		c.DNS[0].Records = slices.Clone(full)
		c.Sort()
		claims := NewClaims(c)
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			next := sample()
			next.DNS[0].Records = append(anyRecords(t), full...)
			for i := range rapid.IntRange(0, 4).Draw(t, "more") {
				ip := netip.AddrFrom4([4]byte{10, 1, 200, byte(i)})
				if rapid.Bool().Draw(t, "one address") {
					ip = netip.MustParseAddr("10.1.2.200")
				}
				name := rapid.SampledFrom([]string{"same", "SAME", "new" + fmt.Sprint(i), "a b", "a..b", ""}).Draw(t, "name")
				next.DNS[0].Records = append(next.DNS[0].Records, agentv1.DNSRecord{Name: name, IP: ip})
			}
			next.Sort()
			next.DNS[0].Records = slices.Compact(next.DNS[0].Records)
			ch, _ := c.Difference(next)
			_, whole := Plan(next)
			err := s.CheckChange(c, ch)
			if err == nil {
				err = claims.Check(next, ch)
			}
			var field *dataplane.FieldError
			if (err == nil) != (whole == nil) || err != nil && (!errors.As(err, &field) || !strings.HasPrefix(field.Field, "/change/dns/0/records/add/")) {
				t.Fatalf("the change: %v; the whole: %v", err, whole)
			}
			if err != nil {
				refused++
				continue
			}
			claims.Take(ch)
			c = next
			taken++
		}
	})
	if taken < 20 || refused < 20 {
		t.Errorf("%d taken, %d refused: hardly anything was tried", taken, refused)
	}
}

// TestChangeElsewhere: what is not served is refused, so that all is applied; an
// error points into the change.
func TestChangeElsewhere(t *testing.T) {
	s := New(quiet)
	edit := func(nic, name, ip string) agentv1.RecordsEdit {
		a, _ := netip.ParseAddr(ip)
		return agentv1.RecordsEdit{Interface: nic, Records: agentv1.Edit[agentv1.DNSRecord]{Add: []agentv1.DNSRecord{{Name: "good", IP: netip.MustParseAddr("10.1.2.3")}, {Name: name, IP: a}}}}
	}
	for field, edits := range map[string][]agentv1.RecordsEdit{
		"/change/dns/0/interface":          {edit(mgmtMAC, "a", "10.1.2.4")},
		"/change/dns/1/interface":          {edit(guestMAC, "a", "10.1.2.4"), edit(guestMAC, "b", "10.1.2.5")},
		"/change/dns/0/records/add/1/name": {edit(guestMAC, "a b", "10.1.2.4")},
		"/change/dns/0/records/add/1/ip":   {edit(guestMAC, "a", "")},
	} {
		err := s.CheckChange(sample(), agentv1.Change{DNS: edits})
		var fe *dataplane.FieldError
		if !errors.As(err, &fe) || fe.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
	ch := agentv1.Change{DNS: []agentv1.RecordsEdit{edit(guestMAC, "a", "10.1.2.4")}}
	if err := s.Change(t.Context(), sample(), ch, nil); err == nil {
		t.Error("a network that is not served is changed")
	}
	s.Close()
	if err := s.Change(t.Context(), sample(), ch, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
