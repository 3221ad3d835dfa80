package nl

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watch hears of every change of links, IPv4 addresses, routes and rules in the
// network namespace where it was made, by anybody. The kernel queues the word
// before the change's own call returns, and what goes without a word (routes,
// with the link or address that they need) goes together with what has one.
type watch struct{ file *os.File }

func newWatch() (*watch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	w := &watch{os.NewFile(uintptr(fd), "rtnetlink")} // closed with the last reference
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV4_ROUTE | 1<<(unix.RTNLGRP_IPV4_RULE-1))
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to links, addresses, routes and rules: %w", err), w.file.Close())
	}
	return w, nil
}

// quiet is whether nothing has changed since it was asked the last time, or
// since newWatch.
func (w *watch) quiet() (bool, error) {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return false, err
	}
	quiet := true
	var failed error
	err = conn.Control(func(fd uintptr) {
		var word [1]byte // what it says does not matter; the rest of it is dropped
		for {
			_, _, err := unix.Recvfrom(int(fd), word[:], unix.MSG_DONTWAIT)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return
			case errors.Is(err, unix.EINTR):
			case err == nil, errors.Is(err, unix.ENOBUFS): // more was said than was kept
				quiet = false
			default:
				failed = fmt.Errorf("hear of changes: %w", err)
				return
			}
		}
	})
	return quiet, errors.Join(err, failed)
}
