package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// goalForward is of a minimal router's rate.
	goalForward = 0.97
	// smallest payload: with the headers it is a frame of 64 bytes.
	smallest = 18
	// discardPort takes packets and reads none.
	discardPort = 9
	tcpSlice    = time.Second
)

// plainRouters are ours with 20,000 mappings, a minimal one made by hand, and
// one that translates and filters nothing.
var plainRouters = []string{"ours", "minimal", "plain"}

// packetRate sends small packets from inside to outside, through source NAT. A
// packet that the router drops costs it less than one that it forwards, so what
// came out counts.
func packetRate(ctx context.Context, b *bench) ([]result, error) {
	return b.forwarded(ctx, "nat-pps", "/cpu-s", b.runs*turnsEach, func(s *rack, k int) (float64, error) {
		before, err := s.departed(ctx, k)
		if err != nil {
			return 0, err
		}
		out, err := s.In(ctx, insideNS, pinned(serverCPU, b.self, "udp-load",
			"-to", fmt.Sprintf("10.97.%d.2:%d", k, discardPort), "-seconds", fmt.Sprint(slice.Seconds()))...)
		if err != nil {
			return 0, err
		}
		after, err := s.departed(ctx, k)
		if err != nil {
			return 0, err
		}
		var u udpLoad
		if err := json.Unmarshal([]byte(out), &u); err != nil {
			return 0, err
		}
		if after-before < u.Sent*99/100 {
			return 0, fmt.Errorf("router %s forwarded %d packets of %d", s.routers[k-1], after-before, u.Sent)
		}
		return float64(u.Sent) / u.CPU.Seconds(), nil
	})
}

// departed is how many frames left router k towards the outside.
func (s *rack) departed(ctx context.Context, k int) (n int, err error) {
	out, err := s.In(ctx, s.routers[k-1], "cat", "/sys/class/net/public/statistics/tx_packets")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(out))
}

// udpLoad is what was sent, and the CPU time it took.
type udpLoad struct {
	Sent int
	CPU  time.Duration
}

// streamRate is the same for one TCP connection, by iperf3, 10^9 bit/s.
func streamRate(ctx context.Context, b *bench) ([]result, error) {
	return b.forwarded(ctx, "nat-throughput", "Gbit/s", b.runs*3, func(s *rack, k int) (float64, error) {
		out, err := s.In(ctx, insideNS, pinned(serverCPU, "iperf3", "-J", "-c", fmt.Sprintf("10.97.%d.2", k), "-t", fmt.Sprint(tcpSlice.Seconds()))...)
		if err != nil {
			return 0, err
		}
		var report struct {
			End struct {
				Received struct {
					Rate float64 `json:"bits_per_second"`
				} `json:"sum_received"`
			} `json:"end"`
		}
		err = json.Unmarshal([]byte(out), &report)
		return report.End.Received.Rate / 1e9, err
	})
}

// forwarded measures what the routers forward, in turns.
func (b *bench) forwarded(ctx context.Context, name, unit string, rounds int, measure func(s *rack, k int) (float64, error)) (rows []result, err error) {
	s, err := b.newRack(ctx, plainRouters...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.forwarding(ctx, b); err != nil {
		return nil, err
	}
	all, err := turns(rounds, plainRouters, func(i int) (float64, error) { return measure(s, i+1) })
	if err != nil {
		return nil, err
	}
	ours, minimal, plain := median(all[0]), median(all[1]), median(all[2])
	remark("%s: ours has %d + %d mappings; plain forwarding without connection tracking: %s%s, ours/plain %.3f; ratios are of turns, in the middle, load=%s",
		name, many, many, figure(plain), unit, ratio(all[0], all[2]), load())
	r := atLeast(name, unit, ours, "minimal", minimal, goalForward)
	r.ratio = ratio(all[0], all[1])
	return []result{r}, nil
}

// ratio is the median of those of each turn: what else the machine does weighs
// on both of a turn, but not on all turns alike.
func ratio(a, b []float64) float64 {
	each := make([]float64, len(a))
	for i := range a {
		each[i] = a[i] / b[i]
	}
	return median(each)
}

// minimal is source NAT and a stateful filter, a rule each.
const minimal = `*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i guest -j ACCEPT
COMMIT
*nat
-A POSTROUTING -o public -j SNAT --to-source %s
COMMIT
`

// forwarding makes the three routers, and takes what comes outside.
func (s *rack) forwarding(ctx context.Context, b *bench) error {
	for _, name := range plainRouters {
		k := s.number(name)
		// A guest without an EIP of its own.
		if err := s.house(ctx, name, guestOf(k, 60_000)); err != nil {
			return err
		}
		if name == "ours" {
			// With a management nic, as routers have: it has a rule, too.
			if _, err := s.In(ctx, name, "ip", "link", "add", "mgmt", "address", managementMAC(k), "type", "veth", "peer", "name", "mgmt-far"); err != nil {
				return err
			}
			c := mapped(k, many, many)
			c.Interfaces = append(m0(k), c.Interfaces...)
			if err := s.ours(ctx, b, name, c); err != nil {
				return err
			}
			continue
		}
		if err := s.byHand(ctx, name); err != nil {
			return err
		}
	}
	if err := s.restore(ctx, "minimal", fmt.Sprintf(minimal, routerOf(s.number("minimal")))); err != nil {
		return err
	}
	k := s.number("plain")
	if _, err := s.Host(ctx, "ip", "-n", s.Namespace(outsideNS), "route", "add", fmt.Sprintf("10.%d.0.0/16", 120+k), "via", routerOf(k).String()); err != nil {
		return err
	}
	if err := s.Start(ctx, outsideNS, "discard", b.self, "discard"); err != nil {
		return err
	}
	if err := s.Start(ctx, outsideNS, "iperf3", pinned(clientCPU, "iperf3", "-s", "--forceflush")...); err != nil {
		return err
	}
	return errors.Join(s.await(ctx, "discard", "listening"), s.await(ctx, "iperf3", "Server listening"))
}

// byHand makes a router that forwards, and no more.
func (s *rack) byHand(ctx context.Context, name string) error {
	k, ns := s.number(name), s.Namespace(name)
	for _, line := range []string{
		fmt.Sprintf("ip -n %s addr add %s/24 dev public", ns, routerOf(k)),
		fmt.Sprintf("ip -n %s addr add 10.%d.0.1/16 dev guest", ns, 120+k),
		fmt.Sprintf("ip -n %s link set public up", ns),
		fmt.Sprintf("ip -n %s link set guest up", ns),
		fmt.Sprintf("ip netns exec %s sysctl -qw net.ipv4.ip_forward=1", ns),
	} {
		if _, err := s.Host(ctx, strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}

// discardMain has a socket whose packets nobody reads.
func discardMain([]string) error {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: discardPort})
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Println("listening")
	// Not select{}: with nothing else to run, the runtime takes it for a deadlock.
	return unix.Pause()
}

// udpLoadMain sends the smallest packets and prints how many, and the CPU
// time: the veth pairs and the router do all their work on the sender's time,
// so that what else the machine does weighs less. All have to be sent.
func udpLoadMain(args []string) error {
	f := flag.NewFlagSet("udp-load", flag.ContinueOnError)
	to := f.String("to", "", "address and port")
	seconds := f.Float64("seconds", 1, "how long")
	if err := f.Parse(args); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(*to)
	if err != nil {
		return err
	}
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	defer c.Close()
	batch := make([]ipv4.Message, 64)
	for i := range batch {
		batch[i].Buffers = [][]byte{make([]byte, smallest)}
	}
	p := ipv4.NewPacketConn(c)
	sent, began, cpu := 0, time.Now(), ownTime()
	for time.Since(began).Seconds() < *seconds {
		n, err := p.WriteBatch(batch, 0)
		if err != nil {
			return fmt.Errorf("after %d packets: %w", sent, err)
		}
		sent += n
	}
	return json.NewEncoder(os.Stdout).Encode(udpLoad{sent, ownTime() - cpu})
}

// ownTime is this process's CPU time.
func ownTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return time.Duration(ts.Nano())
}
