package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/test/lab"
)

// together is how many connections are on their way at a time.
const together = 64

// connectLoadMain opens TCP connections one after the other, resets each, and
// prints how many there were. One that is not there within a second fails all.
func connectLoadMain(args []string) error {
	f := flag.NewFlagSet("connect-load", flag.ContinueOnError)
	to := f.String("to", "", "address and port")
	seconds := f.Float64("seconds", 1, "how long")
	if err := f.Parse(args); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(*to)
	if err != nil {
		return err
	}
	began, n := time.Now(), 0
	for time.Since(began).Seconds() < *seconds {
		if err := connectMany(at, together); err != nil {
			return fmt.Errorf("after %d connections: %w", n, err)
		}
		n += together
	}
	fmt.Printf("%.0f\n", float64(n)/time.Since(began).Seconds())
	return nil
}

// connectMany makes n connections at once and resets them.
func connectMany(to netip.AddrPort, n int) (err error) {
	waiting := make([]unix.PollFd, 0, n)
	defer func() {
		for _, w := range waiting {
			err = errors.Join(err, unix.Close(int(w.Fd)))
		}
	}()
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		waiting = append(waiting, unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT})
		// Closing then sends a reset, and the port is free at once.
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return err
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
		if err != nil && !errors.Is(err, unix.EINPROGRESS) {
			return err
		}
	}
	return connected(waiting)
}

// connected waits for all.
func connected(waiting []unix.PollFd) error {
	left := append([]unix.PollFd(nil), waiting...)
	for len(left) > 0 {
		ready, err := unix.Poll(left, 1000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || ready == 0 {
			return fmt.Errorf("%d connections of %d not made within a second: %w", len(left), len(waiting), cmp.Or(err, os.ErrDeadlineExceeded))
		}
		still := left[:0]
		for _, w := range left {
			if w.Revents == 0 {
				still = append(still, w)
				continue
			}
			if code, err := unix.GetsockoptInt(int(w.Fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
				return fmt.Errorf("connect: %w", errors.Join(err, unix.Errno(code)))
			}
		}
		left = still
	}
	return nil
}

// acceptMain takes connections and closes them, for ever.
func acceptMain(args []string) error {
	f := flag.NewFlagSet("accept", flag.ContinueOnError)
	port := f.Int("port", echoPort, "on all addresses")
	if err := f.Parse(args); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: *port}), unix.Listen(fd, 4096)); err != nil {
		return err
	}
	fmt.Println("listening")
	for {
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		_ = unix.Close(c)
	}
}

// accepting has the machine inside take connections.
func (s *rack) accepting(ctx context.Context, b *bench) error {
	if err := s.Start(ctx, insideNS, "accept", pinned(serverCPU, b.self, "accept")...); err != nil {
		return err
	}
	return s.await(ctx, "accept", "listening")
}

// connects measures, from outside, new connections a second.
func (b *bench) connects(ctx context.Context, l *lab.Lab, to netip.AddrPort, length time.Duration) (float64, error) {
	out, err := l.In(ctx, outsideNS, pinned(clientCPU, b.self, "connect-load", "-to", to.String(), "-seconds", fmt.Sprint(length.Seconds()))...)
	if err != nil {
		return 0, err
	}
	var rate float64
	return rate, json.Unmarshal([]byte(out), &rate)
}
