package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sluice-nfv/sluice/test/lab"
)

// dhcpRateSteps are the rates that a server is tried at, exchanges a second: each
// about a third more than the one before.
var dhcpRateSteps = []int{50, 100, 150, 200, 300, 400, 550, 750, 1000, 1350, 1800, 2400, 3200, 4300, 5800, 7700, 10000, 13500, 18000, 24000, 32000, 43000}

const (
	dhcpRateSeconds = 1.5
	// goalDHCPRate: the peer's rate is at most a fifth of ours.
	goalDHCPRate = 0.2
)

// dhcpKept finds the highest rate at which every exchange is completed. The
// echo shows where the load itself ends: it answers without deciding anything.
func dhcpKept(ctx context.Context, b *bench) ([]result, error) {
	l, ours, keaServer, dnsmasqServer, err := b.dhcpServers(ctx, dhcpBindings)
	if err != nil {
		return nil, err
	}
	echo := server{name: "echo", command: []string{b.self, "dhcp-echo"}, ready: b.leases()}
	kept := map[string]float64{}
	for _, each := range []struct {
		server
		first int // step to try first
	}{{ours, 16}, {keaServer, 11}, {dnsmasqServer, 3}, {echo, 17}} {
		rate, err := b.keeps(ctx, l, each.server, each.first)
		if err != nil {
			return nil, err
		}
		kept[each.name] = float64(rate)
	}
	remark("dhcp-rate: all of %v s at the rate were completed; ratio is the peer's rate to ours, for dhcp-rate-ceiling the ceiling's to ours, load=%s", dhcpRateSeconds, load())
	row := func(name, peer string, goal float64) result {
		r := against(name, "/s", kept["sluice"], peer, kept[peer], goal)
		r.ratio = kept[peer] / kept["sluice"]
		return r
	}
	return []result{row("dhcp-rate", "kea", goalDHCPRate), row("dhcp-rate-dnsmasq", "dnsmasq", goalDHCPRate), row("dhcp-rate-ceiling", "echo", 1)}, nil
}

// keeps climbs from the first step while all is completed, or goes down until
// it is. A step may fail once: the machine may have had something else to do.
func (b *bench) keeps(ctx context.Context, l *lab.Lab, s server, first int) (int, error) {
	if err := s.start(ctx, l); err != nil {
		return 0, err
	}
	defer l.Stop(s.name, 5*time.Second)
	holds := func(i int) (bool, error) {
		for range 2 {
			t, err := b.loadDHCP(ctx, l, dhcpRateSteps[i], dhcpRateSeconds)
			if err != nil {
				return false, err
			}
			if t.Done == t.Begun {
				return true, nil
			}
		}
		return false, nil
	}
	for i, best := first, -1; ; {
		ok, err := holds(i)
		switch {
		case err != nil:
			return 0, fmt.Errorf("load on %s: %w", s.name, err)
		case ok && i+1 < len(dhcpRateSteps) && best < len(dhcpRateSteps):
			best, i = i, i+1
		case ok:
			return dhcpRateSteps[i], nil
		case best >= 0 && best < len(dhcpRateSteps):
			return dhcpRateSteps[best], nil
		case i == 0:
			return 0, fmt.Errorf("%s does not keep even %d exchanges a second", s.name, dhcpRateSteps[0])
		default:
			best, i = len(dhcpRateSteps), i-1 // on the way down
		}
	}
}

// dhcpEchoMain answers what the load sends with as little work as there can be:
// the load's own frame, a few bytes changed.
func dhcpEchoMain() error {
	l, err := openLoad("eth0", 1, 0)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "echo: ready")
	return l.frames(func(f []byte) error {
		if !dhcpEcho(f) {
			return nil
		}
		return l.write(f)
	})
}

var errDHCPEcho = errors.New("not a frame of the load")

// dhcpEcho turns a DISCOVER into an OFFER and a REQUEST into an ACK.
func dhcpEcho(f []byte) bool {
	guest, err := dhcpGuestOf(f)
	if err != nil {
		return false
	}
	body := f[etherLen+ipLen+udpLen:]
	ip, self := guestIP(guest).As4(), serverIP.As4()
	f[etherLen+ipLen+1], f[etherLen+ipLen+3] = 67, 68
	body[0] = 2
	copy(body[16:], ip[:])
	o := body[optionAt:]
	o[2] = map[byte]byte{msgDiscover: msgOffer, msgRequest: msgAck}[o[2]]
	copy(o[3:], append([]byte{54, 4}, self[:]...))
	o[9] = 255
	return true
}

func dhcpGuestOf(f []byte) (int, error) {
	at := etherLen + ipLen + udpLen
	if len(f) < at+300 || f[etherLen+ipLen+3] != 67 || f[at+optionAt] != 53 {
		return 0, errDHCPEcho
	}
	mac := f[at+28:]
	return int(mac[3])<<16 | int(mac[4])<<8 | int(mac[5]), nil
}
