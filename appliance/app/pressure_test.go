package app

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// tables is a table of connections and who has them.
type tables struct {
	now     dataplane.Table
	holders []dataplane.Holder
	counted int
	held    []netip.Addr
}

func (f *tables) Table() (dataplane.Table, error)   { return f.now, nil }
func (f *tables) Meters() (dataplane.Meters, error) { return dataplane.Meters{}, nil }
func (f *tables) Hold(guests []netip.Addr) error    { f.held = guests; return nil }
func (f *tables) Greedy(context.Context, dataplane.Table) ([]dataplane.Holder, error) {
	f.counted++
	return f.holders, nil
}

func TestPressure(t *testing.T) {
	guest := netip.MustParseAddr("10.0.0.9")
	f := &tables{holders: []dataplane.Holder{{Guest: guest, Connections: 900}}}
	p := pressure{table: f, census: f}
	now := time.Unix(1000, 0)
	for _, step := range []struct {
		name    string
		table   dataplane.Table
		after   time.Duration
		counted int
		held    int
		warns   string
	}{
		{"ports that ran out before we came are no news", dataplane.Table{Entries: 10, Max: 1000, NoPort: 5}, 0, 0, 0, ""},
		{"half full: nobody is counted", dataplane.Table{Entries: 500, Max: 1000, NoPort: 5}, time.Second, 0, 0, ""},
		{"fuller", dataplane.Table{Entries: 901, Max: 1000, NoPort: 5}, time.Second, 1, 1, "guest 10.0.0.9: held back"},
		{"and over", dataplane.Table{Entries: 400, Max: 1000, NoPort: 5}, time.Second, 1, 0, ""},
		{"ports run out", dataplane.Table{Entries: 400, Max: 1000, NoPort: 7}, time.Second, 1, 0, "source NAT: public ports ran out, 7 "},
		{"the warning stands", dataplane.Table{Entries: 400, Max: 1000, NoPort: 7}, 50 * time.Second, 1, 0, "source NAT: "},
		{"and goes", dataplane.Table{Entries: 400, Max: 1000, NoPort: 7}, 20 * time.Second, 1, 0, ""},
	} {
		now, f.now, f.held = now.Add(step.after), step.table, nil
		warnings, err := p.look(t.Context(), now)
		if all := strings.Join(warnings, "\n"); err != nil || step.warns == "" && all != "" || !strings.HasPrefix(all, step.warns) {
			t.Errorf("%s: warns %q (%v), want %q", step.name, all, err, step.warns)
		}
		if f.counted != step.counted || len(f.held) != step.held {
			t.Errorf("%s: counted %d times and held %v", step.name, f.counted, f.held)
		}
	}
}
