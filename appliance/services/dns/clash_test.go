package dns

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

func record(name, ip, owner string) agentv1.DNSRecord {
	return agentv1.DNSRecord{Name: name, IP: netip.MustParseAddr(ip), Owner: owner}
}

// TestClashes: whose names are told, and whose are not.
func TestClashes(t *testing.T) {
	for what, tc := range map[string]struct {
		records []agentv1.DNSRecord
		want    string
	}{
		"one each":                  {[]agentv1.DNSRecord{record("a", "10.1.2.1", ""), record("b", "10.1.2.2", "")}, ""},
		"two guests":                {[]agentv1.DNSRecord{record("a", "10.1.2.1", ""), record("a", "10.1.2.2", "")}, `"a" 10.1.2.1 10.1.2.2`},
		"in two spellings":          {[]agentv1.DNSRecord{record("A", "10.1.2.2", ""), record("a", "10.1.2.1", "")}, `"a" 10.1.2.1 10.1.2.2`},
		"bare and whole":            {[]agentv1.DNSRecord{record("a", "10.1.2.1", ""), record("a.lan.example", "10.1.2.2", "")}, `"a" 10.1.2.1 10.1.2.2`},
		"one address, two ways":     {[]agentv1.DNSRecord{record("A", "10.1.2.1", ""), record("a", "10.1.2.1", "")}, ""},
		"one's addresses":           {[]agentv1.DNSRecord{record("a", "10.1.2.1", "vm"), record("a", "10.1.2.2", "vm")}, ""},
		"and another's":             {[]agentv1.DNSRecord{record("a", "10.1.2.1", "vm"), record("a", "10.1.2.2", "vm"), record("a", "10.1.2.3", "")}, `"a" 10.1.2.1 10.1.2.2 10.1.2.3`},
		"one address's names":       {[]agentv1.DNSRecord{record("a", "10.1.2.1", ""), record("b", "10.1.2.1", "")}, ""},
		"an address of each family": {[]agentv1.DNSRecord{record("a", "10.1.2.1", ""), record("a", "2001:db8::1", "")}, `"a" 10.1.2.1 2001:db8::1`},
	} {
		cfg := Config{Domain: "lan.example", Subnet: netip.MustParsePrefix("10.1.2.0/24"), Records: tc.records}
		got := (&table{config: cfg, zone: newZone(cfg)}).clashes()
		if tc.want == "" {
			if len(got) > 0 {
				t.Errorf("%s: %v", what, got)
			}
			continue
		}
		name, addrs, _ := strings.Cut(tc.want, " ")
		if text := got[strings.Trim(name, `"`)]; len(got) != 1 || !strings.Contains(text, "name "+name) || !strings.Contains(text, "at "+addrs+":") {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// TestClashesOfChanges: however the records came and went, those that clash are
// those that would if all was applied.
func TestClashesOfChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		owned := func() []agentv1.DNSRecord {
			all := anyRecords(t)
			for i := range all {
				all[i].Owner = rapid.SampledFrom([]string{"", "", "vm", "network"}).Draw(t, "owner")
			}
			return all
		}
		cfg := Config{Domain: rapid.SampledFrom([]string{"lan.example", ""}).Draw(t, "domain"), Subnet: netip.MustParsePrefix("10.1.0.0/16"), Records: owned()}
		tab := &table{config: cfg, zone: newZone(cfg)}
		now := tab.clashes()
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			next := cfg
			next.Records = owned()
			ch, _ := content(cfg).Difference(content(next))
			for _, e := range ch.DNS {
				tab = &table{config: next, zone: tab.zone.edited(next, e.Records)}
				now = now.changed(tab, e.Records)
			}
			if whole := tab.clashes(); !maps.Equal(now, whole) {
				t.Fatalf("after the change %v, of the whole %v", now, whole)
			}
			cfg = next
		}
	})
}

// told are the events that nobody has taken yet.
func (s *Server) told() (all []string) {
	for {
		select {
		case e := <-s.events:
			all = append(all, e.Type+" "+e.Service+" "+e.Detail)
		default:
			return all
		}
	}
}

// TestClashIsTold: a clash is an event when it begins and when it ends, and a
// warning in between; by all of a content and by a change; both are answered.
func TestClashIsTold(t *testing.T) {
	c := sample()
	c.Sort()
	s := running(t, c, nil)
	expect := func(what string, events, warnings []string) {
		t.Helper()
		for kind, both := range map[string][2][]string{"event": {s.told(), events}, "warning": {s.Warnings(), warnings}} {
			if len(both[0]) != len(both[1]) {
				t.Fatalf("%s: %ss %q, want %q", what, kind, both[0], both[1])
			}
			for i, want := range both[1] {
				if !strings.HasPrefix(both[0][i], want) {
					t.Errorf("%s: %s %q, want %q", what, kind, both[0][i], want)
				}
			}
		}
	}
	const old = `name "clash" is that of several guests, at 10.1.2.20 10.1.2.21: DNS answers with all`
	expect("applied", []string{"name-clash dns " + old}, []string{old})
	change := func(e agentv1.Edit[agentv1.DNSRecord]) {
		t.Helper()
		ch := agentv1.Change{DNS: []agentv1.RecordsEdit{{Interface: guestMAC, Records: e}}}
		next, err := c.Changed(ch)
		if err == nil {
			err = s.Change(t.Context(), next, ch, loLinks)
		}
		if err != nil {
			t.Fatal(err)
		}
		c = next
	}
	change(agentv1.Edit[agentv1.DNSRecord]{Add: []agentv1.DNSRecord{record("WEB", "10.1.2.5", ""), record("new", "10.1.2.6", "")}})
	const web = `name "web" is that of several guests, at 10.1.2.5 10.1.2.10:`
	expect("a change", []string{"name-clash dns " + web}, []string{old, web})
	change(agentv1.Edit[agentv1.DNSRecord]{Remove: []agentv1.DNSRecord{record("WEB", "10.1.2.5", "")}})
	expect("taken back", []string{`name-clash-ended dns name "web" is one guest's again`}, []string{old})
	change(agentv1.Edit[agentv1.DNSRecord]{})
	expect("nothing", nil, []string{old})
	c.DNS = slices.Clone(c.DNS)
	c.DNS[0].Records = nil
	for i := range maxClashes + 3 {
		for j := range 2 {
			c.DNS[0].Records = append(c.DNS[0].Records, record(fmt.Sprint("n", i), fmt.Sprintf("10.1.2.%d", 10*j+i), ""))
		}
	}
	c.Sort()
	if err := s.Apply(t.Context(), c, loLinks); err != nil {
		t.Fatal(err)
	}
	events, warnings := s.told(), s.Warnings()
	if len(events) != maxClashes+2 || len(warnings) != maxClashes+1 || !strings.Contains(warnings[maxClashes], "3 more names") {
		t.Errorf("many at once: events %q, warnings %q", events, warnings)
	}
	c.DNS = nil
	if err := s.Apply(t.Context(), c, loLinks); err != nil {
		t.Fatal(err)
	}
	if got := s.told(); len(got) != maxClashes+1 || len(s.Warnings()) > 0 {
		t.Errorf("the network is gone: %q", got)
	}
}
