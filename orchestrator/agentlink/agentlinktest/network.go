// Package agentlinktest has agents that live in the test's own process: real
// TLS and HTTP on loopback, real enrolment, the same refusals, and no router
// behind them. They keep state over Kill and Restart, lose it on Reboot, and
// print themselves. Suite holds what they and the real agent have in common.
package agentlinktest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// Network is a management network of fake agents, reached by the addresses in
// their bootstraps; agentlink.NewOver takes its Dial.
type Network struct {
	mu     sync.Mutex
	agents map[netip.AddrPort]*Agent
}

// NewNetwork is empty: every address refuses.
func NewNetwork() *Network { return &Network{agents: map[netip.AddrPort]*Agent{}} }

// Boot starts an agent with what its config drive holds, and puts it in place
// of the one at that address, which is killed: two machines never share one.
func (n *Network) Boot(b agentv1.Bootstrap) (*Agent, error) {
	a := newAgent(b)
	if err := a.Restart(); err != nil {
		return nil, fmt.Errorf("boot fake agent %s: %w", b.RouterUUID, err)
	}
	n.mu.Lock()
	old := n.agents[b.Listen]
	n.agents[b.Listen] = a
	n.mu.Unlock()
	if old != nil {
		old.Kill()
	}
	return a, nil
}

// Remove kills the agent at an address; nil where there is none.
func (n *Network) Remove(at netip.AddrPort) {
	n.mu.Lock()
	a := n.agents[at]
	delete(n.agents, at)
	n.mu.Unlock()
	if a != nil {
		a.Kill()
	}
}

// Agent returns the agent at an address, nil where there is none.
func (n *Network) Agent(at netip.AddrPort) *Agent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.agents[at]
}

// Close kills all agents.
func (n *Network) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for at, a := range n.agents {
		a.Kill()
		delete(n.agents, at)
	}
}

// Dial connects to the agent at an address; nobody there is "refused".
func (n *Network) Dial(ctx context.Context, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	a := n.Agent(to)
	if a == nil || !a.Addr().IsValid() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: syscall.ECONNREFUSED}
	}
	d := net.Dialer{Timeout: timeout}
	return d.DialContext(ctx, "tcp", a.Addr().String())
}

// String lists the agents, by address.
func (n *Network) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var lines []string
	for at, a := range n.agents {
		lines = append(lines, at.String()+" "+a.String())
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
