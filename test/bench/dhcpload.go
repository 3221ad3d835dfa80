package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// tally is what the load generator prints.
type tally struct {
	Begun int    `json:"begun"` // DISCOVERs sent
	Done  int    `json:"done"`  // acknowledged
	Wrong int    `json:"wrong"` // answers that are not what the binding says
	Why   string `json:"why,omitempty"`
	// Times from DISCOVER to ACK, milliseconds.
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	// Gaps are the longest times without an ACK, milliseconds, longest first.
	Gaps []float64 `json:"gaps"`
}

// gapsTold bounds Gaps.
const gapsTold = 8

// dhcpLoad plays many guests on one link: each exchange is a guest's whole
// DISCOVER, OFFER, REQUEST, ACK. Its rate does not depend on the server.
type dhcpLoad struct {
	fd     int
	link   int
	guests int

	first uint32 // xid of the first exchange: answers to an earlier load are none of ours
	mu    sync.Mutex
	began []time.Time // by exchange
	took  []float64   // of each that was done, milliseconds
	gaps  []float64   // between one and the next
	last  time.Time
	tally
}

func dhcpLoadMain(args []string) error {
	f := flag.NewFlagSet("dhcp-load", flag.ContinueOnError)
	link := f.String("link", "eth0", "link to the server")
	guests := f.Int("guests", 1, "guests to play")
	rate := f.Float64("rate", 100, "exchanges begun a second")
	seconds := f.Float64("seconds", 1, "for how long")
	patience := f.Duration("patience", time.Second, "how long to wait for the last answers")
	if err := f.Parse(args); err != nil {
		return err
	}
	n := int(*rate * *seconds)
	l, err := openLoad(*link, *guests, n)
	if err != nil {
		return err
	}
	go l.receive()
	if err := l.send(*rate, n); err != nil {
		return err
	}
	time.Sleep(*patience)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Done == 0 {
		return errors.New("no exchange was completed")
	}
	slices.Sort(l.took)
	l.P50, l.P99 = l.took[len(l.took)/2], l.took[len(l.took)*99/100]
	slices.Sort(l.gaps)
	slices.Reverse(l.gaps)
	l.Gaps = l.gaps[:min(gapsTold, len(l.gaps))]
	return json.NewEncoder(os.Stdout).Encode(l.tally)
}

func openLoad(link string, guests, exchanges int) (*dhcpLoad, error) {
	nic, err := net.InterfaceByName(link)
	if err != nil {
		return nil, err
	}
	const ip = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8 // network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, ip)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ip, Ifindex: nic.Index}); err != nil {
		return nil, fmt.Errorf("bind packet socket to %s: %w", link, err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) // a smaller queue loses answers, and they are counted as such
	return &dhcpLoad{fd: fd, link: nic.Index, guests: guests, first: uint32(os.Getpid()) << 20, began: make([]time.Time, exchanges)}, nil
}

// send begins n exchanges, each at its time: guests do not boot in step. The
// thread sleeps by itself, because the Go runtime's timers know milliseconds.
func (l *dhcpLoad) send(rate float64, n int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := time.Now()
	for i := range n {
		if early := time.Duration(float64(i)/rate*1e9) - time.Since(began); early > 50*time.Microsecond {
			nap := unix.NsecToTimespec(int64(early))
			_ = unix.Nanosleep(&nap, nil)
		}
		l.mu.Lock()
		l.Begun++
		l.began[i] = time.Now()
		l.mu.Unlock()
		if _, err := unix.Write(l.fd, discover(int(l.first)+i, i%l.guests)); err != nil {
			return fmt.Errorf("send DISCOVER: %w", err)
		}
	}
	return nil
}

func (l *dhcpLoad) receive() {
	_ = l.frames(func(f []byte) error { l.answered(f); return nil })
}

// frames calls f with each frame that comes in, until one of them fails.
func (l *dhcpLoad) frames(f func([]byte) error) error {
	buf := make([]byte, 2048)
	for {
		n, from, err := unix.Recvfrom(l.fd, buf, 0)
		if err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return err
		}
		if a, ok := from.(*unix.SockaddrLinklayer); ok && a.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if err := f(buf[:n]); err != nil {
			return err
		}
	}
}

func (l *dhcpLoad) write(f []byte) error { _, err := unix.Write(l.fd, f); return err }

func (l *dhcpLoad) answered(frame []byte) {
	a, ok := openAnswer(frame)
	n := int(a.xid - l.first)
	if !ok || n >= len(l.began) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	guest := n % l.guests
	switch {
	case a.yiaddr != guestIP(guest), a.server != serverIP, a.kind != msgOffer && a.kind != msgAck:
		l.Wrong++
		l.Why = fmt.Sprintf("guest %d got %+v", guest, a)
	case a.kind == msgOffer:
		_, _ = unix.Write(l.fd, request(int(a.xid), guest)) // if it is lost, the exchange is not done
	default:
		now := time.Now()
		if l.Done++; l.Done > 1 {
			l.gaps = append(l.gaps, float64(now.Sub(l.last))/1e6)
		}
		l.last = now
		l.took = append(l.took, float64(now.Sub(l.began[n]))/1e6)
	}
}
