package reconcile

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// boot waits for something at the agent's address. It does not sit out its
// time when the domain ended, or when another thing is wanted by now.
func (c *call) boot(ctx context.Context) error {
	addr, err := plan.AgentAddress(c.row)
	if err != nil {
		return err
	}
	began := time.Now()
	reach, cancel := context.WithTimeout(ctx, c.BootTimeout)
	answered := make(chan error, 1)
	go func() { answered <- c.Agents.WaitReachable(reach, agentlink.Target{RouterUUID: c.uuid, Addr: addr}) }()
	over := false
	defer func() {
		cancel()
		if !over {
			<-answered //nolint:errcheck // it was told to end
		}
		signal(c.news) // what was taken from it here is looked at again
	}()
	for {
		select {
		case err := <-answered:
			if over = true; err != nil {
				return c.bootFailure(ctx, addr, began, err)
			}
			return nil
		case <-c.look:
			if err := c.domainEnded(ctx); err != nil {
				return c.bootFailure(ctx, addr, began, err)
			}
		case <-c.news:
			if row := model.Get[v1.VirtualRouter](c.Store.View(), c.uuid); row == nil || wishOf(row) != wishOf(c.row) {
				return errSuperseded
			}
		}
	}
}

// domainEnded is an error if the domain is seen not to run.
func (c *call) domainEnded(ctx context.Context) error {
	hv, err := c.hosts.get(c.row.HostUUID)
	if err != nil {
		return nil // not seen
	}
	d, err := hv.GetDomain(ctx, c.uuid)
	if err != nil || d.State != hypervisor.Stopped && d.State != hypervisor.Crashed && d.State != hypervisor.Absent {
		return nil
	}
	return fmt.Errorf("its domain is %s (%s)", d.State, d.Reason)
}

// bootFailure says what the console showed.
func (c *call) bootFailure(ctx context.Context, addr netip.AddrPort, began time.Time, err error) error {
	return fmt.Errorf("its agent at %s did not answer within %.1fs of its start: %w; the console ends with %q; look at it with `virsh console %s`, it is built anew now",
		addr, time.Since(began).Seconds(), err, c.consoleTail(ctx), plan.DomainName(c.uuid))
}

func (c *call) consoleTail(ctx context.Context) string {
	hv, err := c.hosts.get(c.row.HostUUID)
	if err != nil {
		return ""
	}
	b, err := hv.ConsoleTail(context.WithoutCancel(ctx), c.uuid, 300)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

const (
	// rebootAnswer is how long an agent that is asked to reboot may take to answer:
	// the router serves meanwhile.
	rebootAnswer = time.Second
	// rebootEnd is how long its system may take to end then.
	rebootEnd = 5 * time.Second
)

// endedByItself is in the log, for whoever wants to know which way it was.
const endedByItself = "its system ended by itself"

// endGuest lets the system of a router that is built anew on purpose end by
// itself, as late as can be: everything for the next build is there. One that
// was lost, or does not answer, or not in time, is ended by its hypervisor.
func (c *call) endGuest(ctx context.Context, hv hypervisor.Hypervisor) {
	addr, err := plan.AgentAddress(c.row)
	if c.lost || err != nil || !running(ctx, hv, c.uuid) {
		return
	}
	asking, cancel := context.WithTimeout(ctx, rebootAnswer)
	defer cancel()
	key := fmt.Sprintf("%s-%d", agentv1.CommandReboot, c.row.Epoch)
	if err := c.Agents.Command(asking, agentlink.Target{RouterUUID: c.uuid, Addr: addr}, agentv1.CommandReboot, key, nil, nil); err != nil {
		c.log.Debug("its agent does not end it", "err", err)
		return
	}
	began := time.Now()
	for time.Since(began) < rebootEnd && ctx.Err() == nil {
		if !running(ctx, hv, c.uuid) {
			c.log.Info(endedByItself, "ms", time.Since(began).Milliseconds())
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func running(ctx context.Context, hv hypervisor.Hypervisor, uuid string) bool {
	d, err := hv.GetDomain(ctx, uuid)
	return err == nil && d.State == hypervisor.Running
}
