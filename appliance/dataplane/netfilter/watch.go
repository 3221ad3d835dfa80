package netfilter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"golang.org/x/sys/unix"
)

// Watch hears of each transaction of nftables, by anybody, in the network
// namespace of the thread that made it. Only their ends are delivered: the
// kernel drops the rest before it is queued.
type Watch struct{ socket *os.File }

const newGeneration = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN

// Watch subscribes. With legacy iptables there is nothing to hear: nil.
func (d *Door) Watch() (*Watch, error) {
	if !d.nftBackend {
		return nil, nil
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	// struct nlmsghdr: length (4), type (2), in the byte order of the machine,
	// which a filter's loads are not in.
	kind := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, newGeneration))
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 4},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(kind), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
		{Code: unix.BPF_RET | unix.BPF_K},
	}
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTABLES))
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("subscribe to nftables: %w", err)
	}
	return &Watch{os.NewFile(uintptr(fd), "nftables")}, nil
}

// Next returns after the next transaction, or with an error after Close. One
// that was lost for want of room counts as one.
func (w *Watch) Next() error {
	_, err := w.socket.Read(make([]byte, 4096))
	if errors.Is(err, unix.ENOBUFS) {
		return nil
	}
	return err
}

// Close ends Next.
func (w *Watch) Close() error { return w.socket.Close() }

// Closed is whether nothing is forwarded but by our rules: the sluice table
// stands, with these in its chains. It reads little, so that it can be asked
// often.
func (w *Watch) Closed(rules map[dataplane.ChainID][]string) (bool, error) {
	c, err := connect()
	if err != nil {
		return false, err
	}
	l := newLayout()
	if ok, err := l.chainsStand(c); !ok || err != nil {
		return false, err
	}
	have, err := l.rules(c)
	if err != nil {
		return false, fmt.Errorf("read rules: %w", err)
	}
	for id, want := range rules {
		if id.Table == tableName && !slices.Equal(have[id], want) {
			return false, nil
		}
	}
	return true, nil
}
