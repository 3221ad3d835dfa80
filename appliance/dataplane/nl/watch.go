package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watch hears of every change of links, IPv4 addresses, routes and rules in the
// network namespace where it was made, by anybody. The kernel queues the word
// before the change's own call returns, and what goes without a word (routes,
// with the link or address that they need) goes together with what has one.
type watch struct {
	file  *os.File
	words [4096]byte
}

func newWatch() (*watch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	w := &watch{file: os.NewFile(uintptr(fd), "rtnetlink")} // closed with the last reference
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV4_ROUTE | 1<<(unix.RTNLGRP_IPV4_RULE-1))
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to links, addresses, routes and rules: %w", err), w.file.Close())
	}
	return w, nil
}

// quiet is whether nobody but the socket named own has changed anything since
// it was asked the last time, or since newWatch. Of what own does, only what
// goes beyond a single address counts: a route to its subnet.
func (w *watch) quiet(own uint32) (bool, error) {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return false, err
	}
	quiet := true
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			n, _, err := unix.Recvfrom(int(fd), w.words[:], unix.MSG_DONTWAIT|unix.MSG_TRUNC)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.ENOBUFS): // more was said than was kept
				quiet = false
			case err == nil:
				quiet = quiet && n <= len(w.words) && harmless(w.words[:n], own)
			default:
				failed = fmt.Errorf("hear of changes: %w", err)
				return
			}
		}
	})
	return quiet, errors.Join(err, failed)
}

// harmless is whether all messages are about own's addresses, also those that
// are routes to the router itself (table local), or about such routes that the
// kernel makes of any address.
func harmless(words []byte, own uint32) bool {
	for len(words) >= unix.SizeofNlMsghdr { // struct nlmsghdr: length, type, flags, sequence, pid
		n := int(binary.NativeEndian.Uint32(words))
		if n < unix.SizeofNlMsghdr || n > len(words) {
			return false
		}
		body := words[unix.SizeofNlMsghdr:n]
		switch binary.NativeEndian.Uint16(words[4:]) {
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			if own == 0 || binary.NativeEndian.Uint32(words[12:]) != own {
				return false
			}
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			const table, protocol = 4, 5 // of struct rtmsg
			if len(body) < unix.SizeofRtMsg || body[table] != unix.RT_TABLE_LOCAL {
				return false
			}
			if body[protocol] == Protocol && binary.NativeEndian.Uint32(words[12:]) != own {
				return false
			}
		default:
			return false
		}
		words = words[min((n+3)&^3, len(words)):]
	}
	return true
}
