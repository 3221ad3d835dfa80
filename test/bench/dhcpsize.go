package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/app"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/services/dhcp"
	"github.com/sluice-nfv/sluice/test/lab"
)

const (
	dhcpManyBindings = 65000
	goalDHCPStart    = 0.5 // s
	goalDHCPChange   = 10  // ms
	goalDHCPBytes    = 300 // a binding
	dhcpManyChanges  = 21
)

// dhcpSize measures a network of 65,000 bindings: from the start of the process
// to the first answer, one binding changed, and memory.
func dhcpSize(ctx context.Context, b *bench) ([]result, error) {
	l, ours, _, dnsmasqServer, err := b.dhcpServers(ctx, dhcpManyBindings)
	if err != nil {
		return nil, err
	}
	ours.ready, dnsmasqServer.ready = []string{"true"}, []string{"true"} // whoever waits for the first answer is there already
	var starts [2][]float64
	for run := range b.runs {
		for i, s := range []server{ours, dnsmasqServer} {
			if i > 0 && run > 0 {
				continue // the peer takes its time: once is enough
			}
			took, err := b.startTime(ctx, l, s)
			if errors.Is(err, errDHCPNoAnswer) && i > 0 {
				remark("dhcp-start: %s did not answer within %v, which stands for its time", s.name, dhcpStartLimit)
				took, err = dhcpStartLimit.Seconds(), nil
			}
			if err != nil {
				return nil, err
			}
			progress("%s: %.3f s to its first answer", s.name, took)
			starts[i] = append(starts[i], took)
		}
	}
	out, err := l.In(ctx, serverNS, pinned(serverCPU, b.self, "dhcp-change")...)
	if err != nil {
		return nil, err
	}
	var c dhcpChanges
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		return nil, fmt.Errorf("read %q: %w", out, err)
	}
	start := against("dhcp-start", "s", median(starts[0]), "dnsmasq", median(starts[1]), goalDHCPStart)
	start.goalUnit = "s"
	remark("dhcp-start, dhcp-change, dhcp-binding-bytes: %d bindings, load=%s", dhcpManyBindings, load())
	return []result{start, bound("dhcp-change", "ms", c.Change, goalDHCPChange), bound("dhcp-binding-bytes", "B", c.Bytes, goalDHCPBytes)}, nil
}

// startTime is the time from a server's start to its first answer, seconds: a
// guest asks all the while.
func (b *bench) startTime(ctx context.Context, l *lab.Lab, s server) (float64, error) {
	type answered struct {
		out string
		err error
	}
	first := make(chan answered, 1)
	go func() {
		out, err := l.In(ctx, clientNS, pinned(clientCPU, b.self, "dhcp-wait", "-guest", strconv.Itoa(dhcpManyBindings-1))...)
		first <- answered{out, err}
	}()
	time.Sleep(300 * time.Millisecond) // it asks already
	began := time.Now()
	if err := s.start(ctx, l); err != nil {
		return 0, err
	}
	defer l.Stop(s.name, 5*time.Second)
	a := <-first
	if a.err != nil {
		return 0, a.err
	}
	if strings.TrimSpace(a.out) == dhcpNoAnswer {
		return 0, fmt.Errorf("%s: %w", s.name, errDHCPNoAnswer)
	}
	at, err := strconv.ParseInt(string(bytes.TrimSpace([]byte(a.out))), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %q: %w", a.out, err)
	}
	return time.Unix(0, at).Sub(began).Seconds(), nil
}

// dhcpStartLimit is how long a start may take, and dhcpNoAnswer what dhcp-wait prints
// then.
const (
	dhcpStartLimit = 30 * time.Second
	dhcpNoAnswer   = "none"
)

var errDHCPNoAnswer = errors.New("no answer within the limit")

// dhcpWaitMain asks for a guest's address every 2 ms, and prints when the first
// right offer came, in nanoseconds.
func dhcpWaitMain(args []string) error {
	f := flag.NewFlagSet("dhcp-wait", flag.ContinueOnError)
	guest := f.Int("guest", 0, "guest to play")
	if err := f.Parse(args); err != nil {
		return err
	}
	l, err := openLoad("eth0", 1, 0)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	got := errors.New("answered")
	go func() {
		done <- l.frames(func(frame []byte) error {
			if a, ok := openAnswer(frame); ok && a.kind == msgOffer && a.xid == l.first && a.yiaddr == guestIP(*guest) {
				fmt.Println(time.Now().UnixNano())
				return got
			}
			return nil
		})
	}()
	for end := time.After(dhcpStartLimit); ; {
		_ = l.write(discover(int(l.first), *guest)) // the server's end may be down still
		select {
		case err := <-done:
			if errors.Is(err, got) {
				return nil
			}
			return err
		case <-end:
			fmt.Println(dhcpNoAnswer)
			return nil
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// dhcpChanges is what dhcp-change prints.
type dhcpChanges struct {
	Change float64 `json:"change"` // ms, median
	Bytes  float64 `json:"bytes"`  // a binding, of the heap
}

// dhcpChangeMain has the service itself apply 65,000 bindings, then one change
// after the other. The packet after Apply is answered by the new content.
func dhcpChangeMain() error {
	before := dhcpHeap()
	c := guests(dhcpManyBindings)
	c.DNS = nil
	s, links := dhcp.New(slog.New(slog.NewTextHandler(io.Discard, nil))), dataplane.Links{serverMAC: "eth0"}
	defer s.Close()
	if err := dhcpApplied(s, c, links); err != nil {
		return err
	}
	var out dhcpChanges
	out.Bytes = float64(dhcpHeap()-before) / dhcpManyBindings
	claims := dhcp.NewClaims(c)
	var took []float64
	for i := range dhcpManyChanges {
		was := c.DHCP[0].Bindings[i*1000]
		is := was
		is.IP = netip.AddrFrom4([4]byte{10, 95, 255, byte(10 + i)})
		ch := agentv1.Change{DHCP: []agentv1.BindingsEdit{{Interface: c.DHCP[0].Interface, Bindings: agentv1.Edit[agentv1.DHCPBinding]{
			Remove: []agentv1.DHCPBinding{was}, Add: []agentv1.DHCPBinding{is}}}}}
		began := time.Now()
		next, err := changed(s, claims, c, ch, links)
		if err != nil {
			return err
		}
		took = append(took, float64(time.Since(began))/1e6)
		c = next
	}
	out.Change = median(took)
	return json.NewEncoder(os.Stdout).Encode(out)
}

// changed is what an agent does with a change that is sent to it.
func changed(s app.Changer, claims app.Claims, c agentv1.Content, ch agentv1.Change, links dataplane.Links) (agentv1.Content, error) {
	next, err := c.Changed(ch)
	if err != nil {
		return next, err
	}
	if err := s.CheckChange(c, ch); err != nil {
		return next, err
	}
	if err := claims.Check(next, ch); err != nil {
		return next, err
	}
	claims.Take(ch)
	return next, s.Change(context.Background(), next, ch, links)
}

func dhcpApplied(s *dhcp.Server, c agentv1.Content, links dataplane.Links) error {
	if _, err := s.Want(c, links); err != nil {
		return err
	}
	return s.Apply(context.Background(), c, links)
}

func dhcpHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
