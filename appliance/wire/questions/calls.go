package questions

import (
	"fmt"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dial makes a connected socket on the first of the ports that is free. If none
// is, the kernel chooses: at random too, from a smaller range.
func dial(to netip.AddrPort, ports []uint16) (int, error) {
	at := sockaddr(to)
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(at.family), unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return 0, fmt.Errorf("make socket: %w", errno)
	}
	if errno = bindAny(fd, at.family, ports); errno == 0 {
		_, _, errno = unix.RawSyscall(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&at)), sizeOf(at.family))
	}
	if errno != 0 {
		closeRaw(int(fd))
		return 0, fmt.Errorf("connect socket to %v: %w", to, errno)
	}
	return int(fd), nil
}

func bindAny(fd uintptr, family uint16, ports []uint16) syscall.Errno {
	for _, port := range ports {
		if port == 0 {
			continue
		}
		own := address{family: family, port: [2]byte{byte(port >> 8), byte(port)}}
		_, _, errno := unix.RawSyscall(unix.SYS_BIND, fd, uintptr(unsafe.Pointer(&own)), sizeOf(family))
		if errno != unix.EADDRINUSE {
			return errno
		}
	}
	return 0
}

// address is struct sockaddr_in or sockaddr_in6, ip(7) and ipv6(7).
type address struct {
	family uint16
	port   [2]byte
	v4     [4]byte // flow info in IPv6
	v6     [16]byte
	scope  uint32
}

func sockaddr(to netip.AddrPort) (a address) {
	a.port = [2]byte{byte(to.Port() >> 8), byte(to.Port())}
	if ip := to.Addr().Unmap(); ip.Is4() {
		a.family, a.v4 = unix.AF_INET, ip.As4()
	} else {
		a.family, a.v6 = unix.AF_INET6, ip.As16()
	}
	return a
}

func sizeOf(family uint16) uintptr {
	if family == unix.AF_INET {
		return unix.SizeofSockaddrInet4
	}
	return unix.SizeofSockaddrInet6
}

func send(fd int, packet []byte) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(packet))), uintptr(len(packet)), unix.MSG_DONTWAIT, 0, 0)
	return orNil(errno)
}

func receive(fd int, buf []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func epollWait(fd int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func epollControl(epoll, op int, fd int32) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: fd}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epoll), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return orNil(errno)
}

func closeRaw(fd int) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) } //nolint:errcheck // nothing is buffered

func orNil(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
