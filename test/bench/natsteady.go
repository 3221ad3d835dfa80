package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A steady load shows what a change or a restart costs others.
const (
	answerPort    = 8007
	steadyRate    = 1000 // UDP packets a second, each answered
	steadyStreams = 20   // TCP connections, each with one question at a time
	perSecond     = 100  // changes
	lossSeconds   = 6
	killMappings  = 1000
)

// unanswered is what a steady load missed.
type unanswered struct {
	Sent, Lost, Questions, Broken int
}

func (u unanswered) String() string {
	return fmt.Sprintf("%d packets lost of %d, %d connections broken of %d that asked %d times", u.Lost, u.Sent, u.Broken, steadyStreams, u.Questions)
}

// answerMain returns what comes, over UDP and TCP.
func answerMain([]string) error {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: answerPort})
	if err != nil {
		return err
	}
	for _, port := range []int{answerPort, echoPort} { // forwarded ports lead to the latter
		l, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		go func() { _ = echo(l) }()
	}
	fmt.Println("listening")
	for buf := make([]byte, 1500); ; {
		if n, from, err := c.ReadFromUDPAddrPort(buf); err == nil {
			_, _ = c.WriteToUDPAddrPort(buf[:n], from)
		}
	}
}

// echo returns what comes over connections.
func echo(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
	}
}

// steadyMain asks until it is told to stop, waits for what is on its way, and
// prints what was unanswered.
func steadyMain(args []string) error {
	f := flag.NewFlagSet("steady", flag.ContinueOnError)
	if err := f.Parse(args); err != nil {
		return err
	}
	ends := f.Args() // packets go to the first
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	type asked struct {
		questions int
		err       error
	}
	streams := make(chan asked, steadyStreams)
	for i := range steadyStreams {
		go func() { n, err := converse(ctx, ends[i%len(ends)]); streams <- asked{n, err} }()
	}
	u, err := datagrams(ctx, ends[0])
	if err != nil {
		return err
	}
	for range steadyStreams {
		a := <-streams
		u.Questions += a.questions
		if a.err != nil {
			u.Broken++
			fmt.Fprintln(os.Stderr, a.err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(u)
}

// converse asks over one connection, again and again.
func converse(ctx context.Context, to string) (questions int, err error) {
	c, err := net.DialTimeout("tcp4", to, 5*time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for question := make([]byte, 8); ctx.Err() == nil; questions++ {
		binary.BigEndian.PutUint64(question, uint64(questions))
		answer := make([]byte, 8)
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write(question); err != nil {
			return questions, err
		}
		if _, err := io.ReadFull(c, answer); err != nil || !slices.Equal(question, answer) {
			return questions, fmt.Errorf("connection from %s: answer %x to %x: %w", c.LocalAddr(), answer, question, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return questions, nil
}

// datagrams sends numbers at an even pace and counts which came back.
func datagrams(ctx context.Context, to string) (unanswered, error) {
	c, err := net.Dial("udp4", to)
	if err != nil {
		return unanswered{}, err
	}
	defer c.Close()
	came := make(chan map[uint64]bool)
	go func() {
		seen := map[uint64]bool{}
		for buf := make([]byte, 16); ; {
			n, err := c.Read(buf)
			if errors.Is(err, net.ErrClosed) {
				came <- seen
				return
			}
			if err == nil && n == 8 {
				seen[binary.BigEndian.Uint64(buf)] = true
			}
		}
	}()
	fmt.Println("begun")
	sent := 0
	for began := time.Now(); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		for due := int(time.Since(began).Seconds() * steadyRate); sent < due; sent++ {
			_, _ = c.Write(binary.BigEndian.AppendUint64(nil, uint64(sent))) // one that is refused counts as lost
		}
	}
	time.Sleep(500 * time.Millisecond)
	_ = c.Close()
	return unanswered{Sent: sent, Lost: sent - len(<-came)}, nil
}

// steady runs a load through the last of n EIPs, and of n forwarded ports, while
// something is done.
func (m *managed) steady(ctx context.Context, n int, do func() error) (u unanswered, err error) {
	s := m.rack
	if err := s.house(ctx, m.name, guestOf(m.k, n-1)); err != nil {
		return u, err
	}
	if err := s.Start(ctx, insideNS, "answer", m.b.self, "answer"); err != nil {
		return u, err
	}
	if err := s.await(ctx, "answer", "listening"); err != nil {
		return u, err
	}
	if err := s.Start(ctx, outsideNS, "steady", m.b.self, "steady", fmt.Sprintf("%s:%d", vipOf(m.k, n-1), answerPort),
		netip.AddrPortFrom(sharedVIP(m.k), forwardedPort(n-1)).String()); err != nil {
		return u, err
	}
	if err := s.await(ctx, "steady", "begun"); err != nil {
		return u, err
	}
	if err := do(); err != nil {
		return u, err
	}
	s.Stop("steady", 10*time.Second)
	said := strings.TrimSpace(s.Log("steady"))
	err = json.Unmarshal([]byte(said[strings.LastIndexByte(said, '\n')+1:]), &u)
	if err == nil && (u.Sent == 0 || u.Questions == 0) {
		err = errors.New("no load")
	}
	if err != nil {
		return u, fmt.Errorf("load said %q: %w", tail(said), err)
	}
	return u, nil
}

// changeLoss changes other mappings a hundred times a second: EIPs and forwarded
// ports move from guest to guest, and back.
func changeLoss(ctx context.Context, b *bench) (rows []result, err error) {
	var lost unanswered
	var took []time.Duration
	var all time.Duration
	err = b.withManaged(ctx, func(m *managed) error {
		first, specs, err := m.moves(many, perSecond*lossSeconds)
		if err != nil {
			return err
		}
		if _, err := m.put(ctx, first); err != nil {
			return err
		}
		lost, err = m.steady(ctx, many, func() error {
			began := time.Now()
			for i, p := range specs {
				time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / perSecond)))
				t, err := m.put(ctx, p)
				if err != nil {
					return err
				}
				took = append(took, t)
			}
			all = time.Since(began)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	remark("nat-change-loss: %s, during %d changes, %.0f/s, p50 %s, p99 %s, among %d + %d mappings, load=%s",
		lost, len(took), float64(len(took))/all.Seconds(), percentile(took, 50), percentile(took, 99), many, many, load())
	return []result{none("nat-change-loss", "lost", lost.Lost+lost.Broken)}, nil
}

// restarts kills the agent again and again, and listens to what the kernel says
// was changed.
func restarts(ctx context.Context, b *bench) (rows []result, err error) {
	var lost unanswered
	writes := 0
	err = b.withManaged(ctx, func(m *managed) error {
		p, err := m.spec(mapped(m.k, killMappings, killMappings))
		if err != nil {
			return err
		}
		if _, err := m.put(ctx, p); err != nil {
			return err
		}
		for name, command := range monitors {
			if err := m.rack.Start(ctx, m.name, name, strings.Fields(command)...); err != nil {
				return err
			}
		}
		lost, err = m.steady(ctx, killMappings, func() error {
			for range b.kills {
				m.rack.Kill(m.name)
				if err := m.start(ctx); err != nil {
					return err
				}
			}
			return nil
		})
		for name := range monitors {
			if !m.rack.Running(name) {
				return errors.Join(err, fmt.Errorf("%s ended: %s", name, m.rack.Log(name)))
			}
			if said := m.rack.Log(name); said != "" {
				writes += strings.Count(said, "\n")
				progress("%s: %s", name, tail(said))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	remark("nat-restart: %s, during %d kills among %d + %d mappings, load=%s", lost, b.kills, killMappings, killMappings, load())
	return []result{none("nat-restart-writes", "writes", writes), none("nat-restart-loss", "lost", lost.Lost+lost.Broken)}, nil
}

// monitors print a line a change of the kernel's state.
var monitors = map[string]string{
	"filter-monitor": "nft monitor",
	"net-monitor":    "ip monitor link address route netconf",
}
