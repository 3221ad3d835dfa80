package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// addressProto is IFA_PROTO of linux/if_addr.h.
const addressProto = 11

// AddAddress adds an address of ours; one that is there is fine.
func (d *Door) AddAddress(at dataplane.LinkAddress) error {
	index, err := d.link(at.Link)
	if err != nil {
		return err
	}
	if at.Routed { // beside the kernel's own, if somebody else has it as an address
		err = d.change(localRoute(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, index, at))
	} else {
		err = d.change(address(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, index, at))
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err == nil && d.seen.Addresses != nil {
		d.seen.Addresses[at] = dataplane.AddressState{Ours: true}
	}
	return nil
}

// DelAddress removes an address; a missing one, or link, is fine.
func (d *Door) DelAddress(at dataplane.LinkAddress) error {
	index, err := d.link(at.Link)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	gone := unix.EADDRNOTAVAIL
	if at.Routed {
		gone, err = unix.ESRCH, d.change(localRoute(unix.RTM_DELROUTE, 0, index, at))
	} else {
		err = d.change(address(unix.RTM_DELADDR, 0, index, at))
	}
	if err != nil && !errors.Is(err, gone) && !errors.Is(err, unix.ENODEV) {
		return err
	}
	delete(d.seen.Addresses, at)
	if d.sources[at.Prefix.Addr()] {
		d.Forget()
	}
	return nil
}

func (d *Door) change(req *nl.NetlinkRequest) error {
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: d.routing}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// localRoute changes a route to the router itself, which makes an address its
// own as the kernel's does that comes with one. All share what they say (no
// preferred source), so that there are no lists to walk.
func localRoute(kind, flags, index int, at dataplane.LinkAddress) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Dst_len: 32,
		Table: unix.RT_TABLE_LOCAL, Protocol: Protocol, Scope: unix.RT_SCOPE_HOST, Type: unix.RTN_LOCAL}})
	req.AddData(nl.NewRtAttr(unix.RTA_DST, at.Prefix.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
	return req
}

// address changes an address of a link.
func address(kind, flags, index int, at dataplane.LinkAddress) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	msg := nl.NewIfAddrmsg(unix.AF_INET)
	msg.Index, msg.Prefixlen = uint32(index), uint8(at.Prefix.Bits())
	req.AddData(msg)
	ip := at.Prefix.Addr().AsSlice()
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))
	if kind == unix.RTM_NEWADDR {
		req.AddData(nl.NewRtAttr(addressProto, []byte{Protocol}))
		if at.Prefix.Bits() < 31 { // RFC 3021
			req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, broadcast(at)))
		}
	}
	return req
}

// broadcast is the last address of a subnet.
func broadcast(at dataplane.LinkAddress) []byte {
	ip := at.Prefix.Addr().As4()
	host := uint32(1)<<(32-at.Prefix.Bits()) - 1
	return binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(ip[:])|host)
}

// link finds a link's index. Ten thousand addresses are not to ask for theirs
// ten thousand times: while nobody changed anything that has one name, the
// index that was read stands, and a link that went takes it along for good.
func (d *Door) link(name string) (int, error) {
	if err := d.open(); err != nil {
		return 0, err
	}
	if i, ok := d.index[name]; ok {
		return i, nil
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("find link %s: %w", name, err)
	}
	return l.Attrs().Index, nil
}

// open makes the socket for changes, and learns the name under which the kernel
// tells of them.
func (d *Door) open() error {
	if d.routing != nil {
		return nil
	}
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE) // to nothing
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	if d.pid, err = socket.GetPid(); err != nil {
		socket.Close()
		return fmt.Errorf("name netlink socket: %w", err)
	}
	d.routing = &nl.SocketHandle{Socket: socket}
	return nil
}
