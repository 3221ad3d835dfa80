package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// maxProbe bounds how long a probe may take.
const maxProbe = 10 * time.Second

// probe checks from inside the router whether something answers. What fails is
// a result, not an error.
func (a *App) probe(ctx context.Context, p agentv1.Probe) agentv1.ProbeResult {
	timeout := time.Second
	if p.TimeoutMillis > 0 {
		timeout = min(time.Duration(p.TimeoutMillis)*time.Millisecond, maxProbe)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	link, err := a.probeLink(ctx, p.Interface)
	if err != nil {
		return agentv1.ProbeResult{Error: err.Error()}
	}
	began := time.Now()
	answer, err := probeOnce(ctx, p, link)
	if err != nil {
		return agentv1.ProbeResult{Error: err.Error()}
	}
	return agentv1.ProbeResult{OK: true, Micros: time.Since(began).Microseconds(), Answer: answer}
}

func (a *App) probeLink(ctx context.Context, mac string) (string, error) {
	if mac == "" {
		return "", nil
	}
	links, err := a.plane.Links(ctx)
	if err != nil {
		return "", err
	}
	link, ok := links[mac]
	if !ok {
		return "", fmt.Errorf("find nic %s: not present", mac)
	}
	return link, nil
}

func probeOnce(ctx context.Context, p agentv1.Probe, link string) ([]string, error) {
	switch p.Kind {
	case "tcp":
		return nil, probeTCP(ctx, p.Target, link)
	case "dns":
		return probeDNS(ctx, p, link)
	case "ping":
		return nil, probePing(ctx, p.Target, link)
	}
	return nil, fmt.Errorf("probe kind %q is none of ping, tcp, dns", p.Kind)
}

func probeTCP(ctx context.Context, target, link string) error {
	if _, err := netip.ParseAddrPort(target); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	d := net.Dialer{Control: bindTo(link)}
	conn, err := d.DialContext(ctx, "tcp4", target)
	if err != nil {
		return err
	}
	return conn.Close()
}

func probeDNS(ctx context.Context, p agentv1.Probe, link string) ([]string, error) {
	if _, err := netip.ParseAddrPort(p.Target); err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	if p.Question == "" {
		return nil, errors.New("question is empty")
	}
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		d := net.Dialer{Control: bindTo(link)}
		return d.DialContext(ctx, network, p.Target)
	}}
	found, err := r.LookupNetIP(ctx, "ip4", p.Question)
	if err != nil {
		return nil, err
	}
	var answer []string
	for _, f := range found {
		answer = append(answer, f.Unmap().String())
	}
	return answer, nil
}

// probePing sends one ICMP echo (RFC 792) and waits for its reply.
func probePing(ctx context.Context, target, link string) error {
	to, err := netip.ParseAddr(target)
	if err != nil || !to.Is4() {
		return fmt.Errorf("target %q is no IPv4 address", target)
	}
	lc := net.ListenConfig{Control: bindTo(link)}
	conn, err := lc.ListenPacket(ctx, "ip4:icmp", "0.0.0.0")
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	id, seq := os.Getpid()&0xffff, int(time.Now().UnixNano()&0xffff)
	msg := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("sluice")}}
	b, err := msg.Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := conn.WriteTo(b, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return err
	}
	return awaitEcho(conn, to, id, seq)
}

func awaitEcho(conn net.PacketConn, from netip.Addr, id, seq int) error {
	buf := make([]byte, 1500)
	for {
		n, peer, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		msg, err := icmp.ParseMessage(1, buf[:n]) // 1: ICMP for IPv4
		if err != nil || peer.String() != from.String() {
			continue
		}
		if echo, ok := msg.Body.(*icmp.Echo); ok && msg.Type == ipv4.ICMPTypeEchoReply && echo.ID == id && echo.Seq == seq {
			return nil
		}
	}
}

// bindTo ties a socket to a nic; to none where link is empty.
func bindTo(link string) func(string, string, syscall.RawConn) error {
	if link == "" {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		if err := c.Control(func(fd uintptr) { failed = unix.BindToDevice(int(fd), link) }); err != nil {
			return err
		}
		return failed
	}
}
