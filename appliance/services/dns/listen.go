package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// receiveBuffer holds a burst, or a flood, while the loop is at work, in bytes.
// The kernel counts about 800 a small query, and twice what is asked for.
const receiveBuffer = 2 << 20

// listenConfig makes sockets that are bound to one interface (SO_BINDTODEVICE:
// what comes in elsewhere for the same address is not ours, and no answer
// leaves elsewhere), several of one kind beside each other (SO_REUSEPORT: the
// kernel spreads flows over them), and on an address that the interface may
// not have yet (IP_FREEBIND).
func listenConfig(link string) net.ListenConfig {
	return net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		var err error
		ctrlErr := c.Control(func(fd uintptr) {
			s := int(fd)
			err = errors.Join(
				setsockopt("SO_BINDTODEVICE", unix.SetsockoptString(s, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, link)),
				setsockopt("SO_REUSEPORT", unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)),
				setsockopt("IP_FREEBIND", unix.SetsockoptInt(s, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)),
			)
			if network == "udp4" {
				err = errors.Join(err,
					setsockopt("SO_RCVBUFFORCE", unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)),
					// A forged "fragmentation needed" must not make us fragment.
					setsockopt("IP_MTU_DISCOVER", unix.SetsockoptInt(s, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)))
			}
		})
		return errors.Join(ctrlErr, err)
	}}
}

func setsockopt(name string, err error) error {
	if err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// linkIndex finds an interface. A replaced one has another index under the same
// name. One ioctl: this is done every second.
func linkIndex(link string) (int, error) {
	if link == "" {
		return 0, errors.New("no such nic in this router")
	}
	req, err := unix.NewIfreq(link)
	if err != nil {
		return 0, fmt.Errorf("find link %q: %w", link, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("find link %s: %w", link, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is buffered
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		return 0, fmt.Errorf("find link %s: %w", link, err)
	}
	return int(req.Uint32()), nil
}

// place is where a network listens: one address on one interface, as long as
// the interface is the one with that index.
type place struct {
	link  string
	index int
	addr  netip.Addr
}

// listener is a place with its open sockets.
type listener struct {
	place place
	udp   []*udpSocket
	tcp   *tcpListener
}

// openListener opens the sockets of a place: one for UDP per worker, one for
// TCP. Either all are open or none.
func (s *Server) openListener(n *network, p place) (_ *listener, err error) {
	l := &listener{place: p}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	at := net.JoinHostPort(p.addr.String(), strconv.Itoa(int(s.port)))
	lc := listenConfig(p.link)
	for range s.workers {
		conn, err := lc.ListenPacket(context.Background(), "udp4", at)
		if err != nil {
			return nil, fmt.Errorf("listen on udp %s of %s: %w", at, p.link, err)
		}
		u, err := newUDPSocket(n, conn.(*net.UDPConn))
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		l.udp = append(l.udp, u)
	}
	tcp, err := lc.Listen(context.Background(), "tcp4", at)
	if err != nil {
		return nil, fmt.Errorf("listen on tcp %s of %s: %w", at, p.link, err)
	}
	l.tcp = newTCPListener(n, tcp)
	for _, u := range l.udp {
		s.loops.Go(func() { u.run(s.log) })
	}
	s.loops.Go(func() { l.tcp.run(s.log) })
	return l, nil
}

// close closes the sockets; their loops end by themselves.
func (l *listener) close() {
	for _, u := range l.udp {
		u.packets.Close() //nolint:errcheck // nothing is buffered
	}
	if l.tcp != nil {
		l.tcp.close()
	}
}
