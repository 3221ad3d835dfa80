package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/appliance/boot"
	"github.com/sluice-nfv/sluice/test/lab"
)

const (
	dhcpKills    = 5
	dhcpKillRate = 500 // exchanges a second
	dhcpKillWait = 1200 * time.Millisecond
	goalDHCPGap  = 500 // ms, at p99: none of these few may be longer
)

// dhcpKillGap kills the agent while guests ask, and takes the longest time
// without an answer. What process 1 of a router does restarts it.
func dhcpKillGap(ctx context.Context, b *bench) ([]result, error) {
	l, ours, _, _, err := b.dhcpServers(ctx, dhcpBindings)
	if err != nil {
		return nil, err
	}
	agent := ours.command[0]
	ours.command = append([]string{b.self, "supervise"}, ours.command...)
	var gaps []float64
	for range dhcpKills {
		gap, err := b.kill(ctx, l, ours, agent)
		if err != nil {
			return nil, err
		}
		progress("%.0f ms without an answer", gap)
		gaps = append(gaps, gap)
	}
	remark("dhcp-kill-gap: longest of %d kills, median %.0f ms, %d exchanges/s, %d bindings, load=%s", dhcpKills, median(gaps), dhcpKillRate, dhcpBindings, load())
	return []result{bound("dhcp-kill-gap", "ms", dhcpLongest(gaps), goalDHCPGap)}, nil
}

func dhcpLongest(all []float64) float64 {
	most := all[0]
	for _, a := range all {
		most = max(most, a)
	}
	return most
}

func (b *bench) kill(ctx context.Context, l *lab.Lab, s server, agent string) (float64, error) {
	if err := s.start(ctx, l); err != nil {
		return 0, err
	}
	defer l.Stop(s.name, 5*time.Second)
	killed := make(chan error, 1)
	time.AfterFunc(dhcpKillWait, func() { killed <- dhcpKillChild(l.PID(s.name), agent) })
	t, err := b.loadDHCP(ctx, l, dhcpKillRate, 2*dhcpKillWait.Seconds())
	if err != nil {
		return 0, err
	}
	if err := <-killed; err != nil {
		return 0, err
	}
	if t.Done == t.Begun {
		return 0, fmt.Errorf("nothing was lost: the agent was not killed")
	}
	return t.Gaps[0], nil
}

// dhcpKillChild kills the one child of a supervisor, which runs the agent.
func dhcpKillChild(parent int, agent string) error {
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(parent), "-f", filepath.Base(agent)).Output()
	pid := strings.TrimSpace(string(out))
	if err != nil || strings.Contains(pid, "\n") {
		return fmt.Errorf("find the agent below process %d: %q, %w", parent, pid, err)
	}
	return exec.Command("kill", "-9", pid).Run()
}

func superviseMain(command []string) error {
	boot.Supervise(command)
	return nil
}
