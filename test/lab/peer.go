package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Serve starts the peer server in a namespace: it says who it is and whom it
// talks to, over HTTP and UDP, and knows some names. It waits until it answers.
func (l *Lab) Serve(ctx context.Context, ns, who string, args ...string) error {
	command := append(append([]string{}, l.Peer...), "-who", who, "-ready", l.Dir+"/peer-"+ns+".sock")
	if err := l.Start(ctx, ns, "peer-"+ns, append(command, args...)...); err != nil {
		return err
	}
	ready := func() bool {
		c, err := net.Dial("unix", l.Dir+"/peer-"+ns+".sock")
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	if err := until(ctx, ready); err != nil {
		return fmt.Errorf("peer server in %s: %w: %s", ns, err, l.Log("peer-"+ns))
	}
	return nil
}

// until polls a condition for at most 90 seconds.
func until(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// PeerMain is the peer server: a command of the program that uses the lab.
// HTTP and UDP answer "<who> sees <client address>".
func PeerMain(args []string) error {
	f := flag.NewFlagSet("peer", flag.ContinueOnError)
	who := f.String("who", "peer", "name in answers")
	web := f.String("http", "", "HTTP listen addresses, comma separated")
	udp := f.String("udp", "", "UDP listen addresses, comma separated")
	names := f.String("dns", "", "DNS listen address")
	zone := f.String("zone", "", "name=address pairs, comma separated")
	ready := f.String("ready", "", "unix socket to listen on once everything else does")
	if err := f.Parse(args); err != nil {
		return err
	}
	failed := make(chan error, 8)
	for _, addr := range split(*web) {
		l, err := net.Listen("tcp4", addr)
		if err != nil {
			return err
		}
		go func() { failed <- http.Serve(l, sees(*who)) }()
	}
	for _, addr := range split(*udp) {
		c, err := net.ListenPacket("udp4", addr)
		if err != nil {
			return err
		}
		go func() { failed <- echo(c, *who) }()
	}
	if *names != "" {
		if err := serveNames(*names, *zone, failed); err != nil {
			return err
		}
	}
	l, err := net.Listen("unix", *ready)
	if err != nil {
		return err
	}
	go func() {
		for {
			if c, err := l.Accept(); err == nil {
				_ = c.Close()
			}
		}
	}()
	return <-failed
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func sees(who string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = fmt.Fprintf(w, "%s sees %s\n", who, host)
	}
}

func echo(c net.PacketConn, who string) error {
	buf := make([]byte, 1500)
	for {
		_, from, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		host, _, _ := net.SplitHostPort(from.String())
		if _, err := c.WriteTo(fmt.Appendf(nil, "%s sees %s\n", who, host), from); err != nil && !errors.Is(err, net.ErrClosed) {
			continue // the other side is gone: its own business
		}
	}
}

func serveNames(addr, zone string, failed chan<- error) error {
	known := map[string]string{}
	for _, pair := range split(zone) {
		name, ip, _ := strings.Cut(pair, "=")
		known[dns.Fqdn(name)] = ip
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		ip, ok := known[strings.ToLower(q.Question[0].Name)]
		switch {
		case !ok:
			m.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			rr, err := dns.NewRR(fmt.Sprintf("%s 60 IN A %s", q.Question[0].Name, ip))
			if err == nil {
				m.Answer = append(m.Answer, rr)
			}
		}
		_ = w.WriteMsg(m)
	})
	c, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return err
	}
	go func() { failed <- (&dns.Server{PacketConn: c, Handler: handler}).ActivateAndServe() }()
	go func() { failed <- (&dns.Server{Listener: l, Handler: handler}).ActivateAndServe() }()
	return nil
}
