package netfilter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"golang.org/x/sys/unix"
)

// Watch hears of each transaction of nftables, by anybody, in the network
// namespace of the thread that made it. Only their ends are delivered: the
// kernel drops the rest before it is queued.
type Watch struct {
	socket *os.File
	conns  *conns
}

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
	return &Watch{os.NewFile(uintptr(fd), "nftables"), &d.conns}, nil
}

// Next returns after the next transaction of another process, or with an error
// after Close. One that was lost for want of room counts as one.
func (w *Watch) Next() error {
	for word := make([]byte, 4096); ; {
		n, err := w.socket.Read(word)
		if errors.Is(err, unix.ENOBUFS) {
			return nil
		}
		if err != nil || !ourOwn(word[:n], uint32(os.Getpid())) {
			return err
		}
	}
}

// ourOwn is whether a process's transactions are all that a word is about: at a
// hundred changes a second looking at each is a burden. Of several messages in
// one word the last counts for itself only.
func ourOwn(word []byte, pid uint32) bool {
	const header = unix.SizeofNlMsghdr + 4 // and struct nfgenmsg
	if len(word) < header || int(binary.NativeEndian.Uint32(word)) != len(word) {
		return false
	}
	attributes, err := netlink.UnmarshalAttributes(word[header:])
	for _, a := range attributes {
		if err == nil && a.Type == unix.NFTA_GEN_PROC_PID && len(a.Data) == 4 {
			return binary.BigEndian.Uint32(a.Data) == pid
		}
	}
	return false
}

// Close ends Next.
func (w *Watch) Close() error { return w.socket.Close() }

// Closed is whether nothing is forwarded but by our rules: the sluice table
// stands, with these in its chains. It reads little, so that it can be asked
// often.
func (w *Watch) Closed(rules map[dataplane.ChainID][]string) (closed bool, err error) {
	err = w.conns.do(func(c *nftables.Conn) error {
		closed, err = stand(c, rules)
		return err
	})
	return closed, err
}

func stand(c *nftables.Conn, rules map[dataplane.ChainID][]string) (bool, error) {
	l := newLayout()
	if ok, err := l.chainsStand(c); !ok || err != nil {
		return false, err
	}
	have, err := l.rules(c)
	if err != nil {
		return false, fmt.Errorf("read rules: %w", err)
	}
	for id, want := range rules {
		// A flowtable with fewer nics than it had, for one was unplugged, lets
		// nothing pass that rules have not.
		if id.Table == tableName && id != idFlowtable && !slices.Equal(have[id], want) {
			return false, nil
		}
	}
	return true, nil
}
