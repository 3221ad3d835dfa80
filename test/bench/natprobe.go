package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/test/site"
)

// whoMain answers on each of the addresses with the question and the address.
func whoMain(addresses []string) error {
	ended := make(chan error)
	for _, a := range addresses {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(a), Port: answerPort})
		if err != nil {
			return err
		}
		go func() {
			for buf := make([]byte, 64); ; {
				n, from, err := c.ReadFromUDPAddrPort(buf[:8])
				if err != nil {
					ended <- err
					return
				}
				_, _ = c.WriteToUDPAddrPort(append(buf[:n], a...), from)
			}
		}()
	}
	fmt.Println("listening")
	return <-ended
}

// prober asks who is behind an address, all the time.
type prober struct {
	conn *net.UDPConn
	stop chan struct{}

	mu   sync.Mutex
	sent []time.Time // when question n was sent
	who  []netip.Addr
}

// askEvery is the pause between two questions.
const askEvery = 500 * time.Microsecond

// foundWithin is how long an answer is waited for.
const foundWithin = 2 * time.Second

func newProber(ns string, to netip.AddrPort) (*prober, error) {
	p := &prober{stop: make(chan struct{})}
	err := site.Within(ns, func() (err error) {
		p.conn, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
		return err
	})
	if err != nil {
		return nil, err
	}
	go p.ask()
	go p.listen()
	return p, nil
}

func (p *prober) close() { close(p.stop); _ = p.conn.Close() }

func (p *prober) ask() {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		n := uint64(len(p.sent))
		p.sent, p.who = append(p.sent, time.Now()), append(p.who, netip.Addr{})
		p.mu.Unlock()
		_, _ = p.conn.Write(binary.BigEndian.AppendUint64(nil, n)) // nobody may be there
	}
}

func (p *prober) listen() {
	for buf := make([]byte, 64); ; {
		n, err := p.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 8 { // refused: nobody was there
			continue
		}
		who, err := netip.ParseAddr(string(buf[8:n]))
		if at := binary.BigEndian.Uint64(buf); err == nil {
			p.mu.Lock()
			if at < uint64(len(p.who)) {
				p.who[at] = who
			}
			p.mu.Unlock()
		}
	}
}

// found waits until a guest has answered a question of after a call returned. It
// returns how long after the call began the first question was sent that this
// guest answered, and how many sent after its return another did.
func (p *prober) found(guest netip.Addr, began, returned time.Time) (first time.Duration, stray int, err error) {
	for end := time.Now().Add(foundWithin); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var after int
		if first, stray, after = p.answers(guest, began, returned); after > 0 {
			return first, stray, nil
		}
	}
	return 0, 0, fmt.Errorf("%s does not answer within %s; another guest did %d times", guest, foundWithin, stray)
}

func (p *prober) answers(guest netip.Addr, began, returned time.Time) (first time.Duration, stray, after int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.sent) - 1; i >= 0 && p.sent[i].After(began); i-- {
		late := p.sent[i].After(returned)
		switch {
		case p.who[i] == guest:
			first = p.sent[i].Sub(began)
			if late {
				after++
			}
		case p.who[i].IsValid() && late:
			stray++
		}
	}
	return first, stray, after
}
