package dhcp

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func findLink(link string, mac hw) (*net.Interface, error) {
	if ifi, err := net.InterfaceByName(link); err == nil && string(ifi.HardwareAddr) == string(mac[:]) {
		return ifi, nil
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for i := range all {
		if string(all[i].HardwareAddr) == string(mac[:]) {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("find link %s (%v): no interface has this MAC", link, mac)
}

// openSink holds UDP port 67 with a socket that drops everything. Without it
// the kernel would answer each renewal, which is sent to our address, with
// "port unreachable". It also finds a foreign server on the port.
func openSink(link string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		attach(fd, []bpf.Instruction{bpf.RetConstant{Val: 0}}),
		unix.BindToDevice(fd, link),
		unix.Bind(fd, &unix.SockaddrInet4{Port: serverPort}),
	)
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// requestFilter passes unfragmented IPv4 UDP packets to port 67 that are for us
// or for all.
var requestFilter = []bpf.Instruction{
	bpf.LoadExtension{Num: bpf.ExtType},
	bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: unix.PACKET_MULTICAST, SkipTrue: 8},
	bpf.LoadAbsolute{Off: ethHeader + 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolUDP, SkipTrue: 6},
	bpf.LoadAbsolute{Off: ethHeader + 6, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 4},
	bpf.LoadMemShift{Off: ethHeader},
	bpf.LoadIndirect{Off: ethHeader + 2, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: serverPort, SkipTrue: 1},
	bpf.RetConstant{Val: maxFrame},
	bpf.RetConstant{Val: 0},
}

func attach(fd int, program []bpf.Instruction) error {
	code, err := bpf.Assemble(program)
	if err != nil {
		return fmt.Errorf("assemble filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(code))
	for i, c := range code {
		filter[i] = unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
}
