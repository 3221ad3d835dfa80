package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"net"

	"github.com/miekg/dns"

	"github.com/sluice-nfv/sluice/appliance/wire/datagram"
)

// echo is the least that a DNS server of ours could do: it takes queries and
// sends them back as answers, by the very socket code of the agent.
func (b *bench) echo() server {
	return server{name: "echo", command: []string{b.self, "dns-echo", "-at", serverIP.String() + ":53"}, ready: resolves()}
}

func dnsEchoMain(args []string) error {
	f := flag.NewFlagSet("dns-echo", flag.ContinueOnError)
	at := f.String("at", "", "listen `address:port`")
	if err := f.Parse(args); err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp4", *at)
	if err != nil {
		return err
	}
	s, err := datagram.New(conn.(*net.UDPConn))
	if err != nil {
		return err
	}
	in, out := make([]datagram.Packet, datagram.Batch), make([]datagram.Packet, datagram.Batch)
	for {
		n, err := s.Receive(in)
		if err != nil {
			return err
		}
		send := out[:0]
		for _, p := range in[:n] {
			if len(p.Data) > 2 {
				p.Data[2] |= 0x80 // QR: an answer
				send = append(send, p)
			}
		}
		for len(send) > 0 {
			n, err := s.Send(send)
			if err != nil {
				return err
			}
			send = send[n:]
		}
	}
}

// upstreamIP is where the client's namespace has a server that knows all names.
const upstreamIP = "10.95.255.3"

// upstreamRecords is how many addresses a name has there; names that begin with
// "big" have bigRecords.
const (
	upstreamRecords = 1
	bigRecords      = 25
)

// dnsUpstreamMain answers every question for addresses, without thinking.
func dnsUpstreamMain(args []string) error {
	f := flag.NewFlagSet("dns-upstream", flag.ContinueOnError)
	at := f.String("at", "", "listen `address:port`")
	if err := f.Parse(args); err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp4", *at)
	if err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		if answer := upstreamAnswer(buf[:n]); answer != nil {
			if _, err := conn.WriteTo(answer, from); err != nil {
				return err
			}
		}
	}
}

// upstreamAnswer keeps the question as it came, its letters' case too.
func upstreamAnswer(query []byte) []byte {
	const header, fixed = 12, 4
	var end int
	var err error
	off := header
	if len(query) > header {
		if _, end, err = dns.UnpackDomainName(query, off); err != nil || end+fixed > len(query) {
			return nil
		}
	} else {
		return nil
	}
	records := upstreamRecords
	if len(query) > 16 && query[13]|0x20 == 'b' && query[14]|0x20 == 'i' && query[15]|0x20 == 'g' {
		records = bigRecords
	}
	out := append([]byte(nil), query[:end+fixed]...)
	binary.BigEndian.PutUint16(out[2:], 0x8180) // an answer, recursion desired and available
	binary.BigEndian.PutUint16(out[6:], uint16(records))
	binary.BigEndian.PutUint32(out[8:], 0)
	for i := range records {
		out = append(out, 0xC0, header, 0, 1, 0, 1, 0, 0, 0x0E, 0x10, 0, 4, 198, 51, 100, byte(i)) // 1 h
	}
	return out
}

// startUpstream puts the server that knows all names into the client's
// namespace, and as many guests' addresses.
func (b *bench) startUpstream(ctx context.Context, guests int) error {
	l := b.wire
	if err := b.clientAddresses(ctx, l, guests); err != nil {
		return err
	}
	if _, err := l.In(ctx, clientNS, "ip", "addr", "replace", upstreamIP+"/16", "dev", "eth0"); err != nil {
		return err
	}
	if err := l.Start(ctx, clientNS, "dns-upstream", pinned(clientCPU, b.self, "dns-upstream", "-at", upstreamIP+":53")...); err != nil {
		return err
	}
	for range 100 {
		if _, err := l.In(ctx, clientNS, "dig", "+short", "+time=1", "+tries=1", "@"+upstreamIP, "ready.test", "A"); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the upstream does not answer: %s", tail(l.Log("dns-upstream")))
}
