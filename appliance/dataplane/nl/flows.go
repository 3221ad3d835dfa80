package nl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of linux/netfilter/nfnetlink_conntrack.h: messages, attributes and, for
// filters, which parts of a tuple count (net/netfilter/nf_conntrack_netlink.c).
const (
	connGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET
	connDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE

	tupleAsked, tupleAnswer = 1, 2 // CTA_TUPLE_ORIG, CTA_TUPLE_REPLY
	filter                  = 25   // CTA_FILTER
	filterAsked             = 1    // CTA_FILTER_ORIG_FLAGS
	filterAnswer            = 2    // CTA_FILTER_REPLY_FLAGS
	tupleIP, tupleProto     = 1, 2 // CTA_TUPLE_IP, CTA_TUPLE_PROTO
	ipSource, ipTo          = 1, 2 // CTA_IP_V4_SRC, CTA_IP_V4_DST
	protoNumber             = 1    // CTA_PROTO_NUM
	portSource, portTo      = 2, 3 // CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT
	countsIPTo              = 1 << 1
	countsProto             = 1 << 3
	countsPortTo            = 1 << 5
)

// Connections is the door to tracked connections. Its methods may be called
// beside each other.
type Connections struct{ sockets sockets }

// NewConnections opens nothing yet.
func NewConnections() *Connections {
	return &Connections{sockets: sockets{protocol: unix.NETLINK_NETFILTER}}
}

func request(kind, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	return req
}

// Sweep ends the tracked connections for which stale is true, in one pass over
// the table, and returns their number.
func (c *Connections) Sweep(ctx context.Context, stale func(dataplane.Flow) bool) (int, error) {
	return c.sweep(ctx, func() *nl.NetlinkRequest { return request(connGet, unix.NLM_F_DUMP) }, stale)
}

// sweep ends what is stale of the connections that the kernel is asked for,
// again if they change meanwhile.
func (c *Connections) sweep(ctx context.Context, ask func() *nl.NetlinkRequest, stale func(dataplane.Flow) bool) (int, error) {
	total := 0
	for range attempts {
		n, err := c.pass(ctx, ask(), stale)
		total += n
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return total, err
		}
	}
	return total, fmt.Errorf("connections change too fast to read them: %w", netlink.ErrDumpInterrupted)
}

func (c *Connections) pass(ctx context.Context, ask *nl.NetlinkRequest, stale func(dataplane.Flow) bool) (ended int, err error) {
	var gone [][]byte
	err = c.sockets.do(ask, func(m []byte) {
		if f, ok := flow(m); ok && ctx.Err() == nil && stale(f) {
			gone = append(gone, slices.Clone(m[nl.SizeofNfgenmsg:]))
		}
	})
	for _, connection := range gone {
		req := request(connDelete, unix.NLM_F_ACK)
		req.AddRawData(connection) // with its id: one that came in its place stays
		switch err := c.sockets.do(req, nothing); {
		case err == nil:
			ended++
		case !errors.Is(err, unix.ENOENT):
			return ended, err
		}
	}
	return ended, errors.Join(err, ctx.Err())
}

func nothing([]byte) {}

// End ends all connections that were asked of the address (and port) of one of
// ends, or answered to it. The kernel finds them itself, without a word about
// the others: since Linux 6.12 it deletes by a part of the tuple; before, it
// takes that for a whole one that is too short, but lists by it (since 5.8), and
// what it lists is deleted one by one. ErrUnsupported: it does neither.
func (c *Connections) End(ctx context.Context, ends []dataplane.End) error {
	for _, e := range ends {
		err := c.sockets.do(about(e, connDelete, unix.NLM_F_ACK), nothing)
		if unknown(err) {
			err = c.endListed(ctx, e)
		}
		switch {
		case unknown(err):
			return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		case err != nil && !errors.Is(err, unix.ENOENT):
			return err
		}
	}
	return nil
}

// unknown is whether the kernel does not understand a filter.
func unknown(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) }

// endListed ends what the kernel lists for an end.
func (c *Connections) endListed(ctx context.Context, e dataplane.End) error {
	_, err := c.sweep(ctx, func() *nl.NetlinkRequest { return about(e, connGet, unix.NLM_F_DUMP) }, e.Of)
	return err
}

// about is a request about all connections that have a part of their tuple.
func about(e dataplane.End, message, flags int) *nl.NetlinkRequest {
	kind, counts := tupleAsked, uint32(countsIPTo)
	if e.Answer {
		kind = tupleAnswer
	}
	tuple := nl.NewRtAttr(unix.NLA_F_NESTED|kind, nil)
	tuple.AddRtAttr(unix.NLA_F_NESTED|tupleIP, nil).AddRtAttr(ipTo, e.Addr.AsSlice())
	if e.Port != 0 {
		counts |= countsProto | countsPortTo
		proto := tuple.AddRtAttr(unix.NLA_F_NESTED|tupleProto, nil)
		proto.AddRtAttr(protoNumber, []byte{e.Protocol})
		proto.AddRtAttr(portTo, binary.BigEndian.AppendUint16(nil, e.Port))
	}
	which := nl.NewRtAttr(unix.NLA_F_NESTED|filter, nil)
	asked, answer := counts, uint32(0)
	if e.Answer {
		asked, answer = 0, counts
	}
	which.AddRtAttr(filterAsked, nl.Uint32Attr(asked))
	which.AddRtAttr(filterAnswer, nl.Uint32Attr(answer))
	req := request(message, flags)
	req.AddData(tuple)
	req.AddData(which)
	return req
}

// flow reads a connection of IPv4.
func flow(message []byte) (f dataplane.Flow, ok bool) {
	if len(message) < nl.SizeofNfgenmsg {
		return f, false
	}
	for kind, value := range attributes(message[nl.SizeofNfgenmsg:]) {
		switch kind {
		case tupleAsked:
			f.Protocol, f.From, f.To = tuple(value)
		case tupleAnswer:
			_, f.ReplyFrom, f.ReplyTo = tuple(value)
		}
	}
	return f, f.From.IsValid() && f.To.IsValid() && f.ReplyFrom.IsValid() && f.ReplyTo.IsValid()
}

func tuple(b []byte) (protocol uint8, from, to netip.AddrPort) {
	var source, dest netip.Addr
	var sourcePort, destPort uint16
	for part, inner := range attributes(b) {
		for kind, value := range attributes(inner) {
			switch {
			case part == tupleIP && kind == ipSource:
				source, _ = netip.AddrFromSlice(value)
			case part == tupleIP && kind == ipTo:
				dest, _ = netip.AddrFromSlice(value)
			case part == tupleProto && kind == protoNumber && len(value) == 1:
				protocol = value[0]
			case part == tupleProto && kind == portSource && len(value) == 2:
				sourcePort = binary.BigEndian.Uint16(value)
			case part == tupleProto && kind == portTo && len(value) == 2:
				destPort = binary.BigEndian.Uint16(value)
			}
		}
	}
	return protocol, netip.AddrPortFrom(source, sourcePort), netip.AddrPortFrom(dest, destPort)
}

// attributes yields the netlink attributes of b, by type.
func attributes(b []byte) func(yield func(kind int, value []byte) bool) {
	return func(yield func(int, []byte) bool) {
		for len(b) >= 4 { // struct nlattr: length, type
			n := int(binary.NativeEndian.Uint16(b))
			if n < 4 || n > len(b) || !yield(int(binary.NativeEndian.Uint16(b[2:])&nl.NLA_TYPE_MASK), b[4:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}
