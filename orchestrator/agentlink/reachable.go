package agentlink

import (
	"context"
	"fmt"
	"time"
)

const (
	// reachEvery is the pause between two attempts. Boot to enrolment is on
	// the path of every new guest network, and a refused attempt costs a
	// packet each way.
	reachEvery = 35 * time.Millisecond
	// reachDial is how long one attempt waits. It is not shorter, because a
	// SYN waits in the neighbour table for the router's first ARP, which the
	// agent sends unasked when it starts; not longer, because a SYN lost at a
	// nic that was not up would be repeated only after a second.
	reachDial = 300 * time.Millisecond
)

// WaitReachable returns as soon as a TCP connection to the agent is made; who
// it is remains to be verified. It ends with ctx, and then names the last
// attempt's error.
func (l *Link) WaitReachable(ctx context.Context, t Target) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		conn, err := l.dial(ctx, t.Addr, reachDial)
		if err == nil {
			return conn.Close()
		}
		pause.Reset(reachEvery)
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for router %s at %s: %w (last attempt: %w)", t.RouterUUID, t.Addr, ctx.Err(), err)
		case <-pause.C:
		}
	}
}
