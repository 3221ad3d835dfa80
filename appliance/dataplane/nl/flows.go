package nl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/vishvananda/netlink"
)

// selector ends the flows that it says yes to.
type selector func(dataplane.Flow) bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (s selector) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	return s(dataplane.Flow{
		Protocol:  f.Forward.Protocol,
		From:      addrPort(f.Forward.SrcIP, f.Forward.SrcPort),
		To:        addrPort(f.Forward.DstIP, f.Forward.DstPort),
		ReplyFrom: addrPort(f.Reverse.SrcIP, f.Reverse.SrcPort),
		ReplyTo:   addrPort(f.Reverse.DstIP, f.Reverse.DstPort),
	})
}

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip.To4())
	return netip.AddrPortFrom(a, port)
}

// Sweep ends the tracked connections for which stale is true, in one pass over
// the table, and returns their number.
func Sweep(stale func(dataplane.Flow) bool) (int, error) {
	total := 0
	for range attempts {
		n, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, netlink.FAMILY_V4, selector(stale))
		total += int(n)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return total, err
		}
	}
	return total, fmt.Errorf("connections change too fast to read them: %w", netlink.ErrDumpInterrupted)
}
