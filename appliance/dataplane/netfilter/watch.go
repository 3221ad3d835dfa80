package netfilter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables"
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

// Closed is whether nothing is forwarded but by our rules: FORWARD drops what
// nobody accepts, and our table lets no guest's own address out. It reads
// little, so that it can be asked often.
func (w *Watch) Closed() (bool, error) {
	c, err := connect()
	if err != nil {
		return false, err
	}
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return false, fmt.Errorf("list chains: %w", err)
	}
	for _, x := range chains {
		if x.Table.Name == "filter" && x.Name == "FORWARD" && x.Policy != nil && *x.Policy == nftables.ChainPolicyDrop {
			return newLayout().chainsStand(c)
		}
	}
	return false, nil
}
