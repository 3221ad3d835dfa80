package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// goalMemory is of the agent, resident, 10^6 bytes.
const goalMemory = 40

// samples of the memory of an idle program, a second apart.
const samples = 5

// agentMemory compares the agent in the router with a dnsmasq that has the same
// bindings and names. dnsmasq does less: it programs no NAT and reports to nobody.
func agentMemory(ctx context.Context, b *bench) ([]result, error) {
	w, err := b.busySite(ctx)
	if err != nil {
		return nil, err
	}
	r, err := router(ctx, w)
	if err != nil {
		return nil, err
	}
	ours, err := sampled(ctx, func() (int64, error) {
		var s agentv1.RouterStatus
		err := w.API.Do(ctx, http.MethodGet, "/v1/virtual-routers/"+r.UUID+"/status", nil, &s)
		return s.MemoryBytes, err
	})
	if err != nil {
		return nil, err
	}
	var spec agentv1.RouterSpec
	if err := w.API.Do(ctx, http.MethodGet, "/v1/virtual-routers/"+r.UUID+"/spec", nil, &spec); err != nil {
		return nil, err
	}
	peer, err := b.dnsmasqMemory(ctx, len(spec.Content.DHCP[0].Bindings))
	if err != nil {
		return nil, err
	}
	remark("agent-rss: %d bindings and names; load=%s", len(spec.Content.DHCP[0].Bindings), load())
	out := against("agent-rss", "MB", ours, "dnsmasq", peer, goalMemory)
	out.goalUnit = "MB"
	return []result{out}, nil
}

func (b *bench) dnsmasqMemory(ctx context.Context, bindings int) (float64, error) {
	l, err := b.wired(ctx)
	if err != nil {
		return 0, err
	}
	peer := dnsmasq(l, guests(bindings), resolves())
	if err := peer.start(ctx, l); err != nil {
		return 0, err
	}
	defer l.Stop(peer.name, 5*time.Second)
	return sampled(ctx, func() (int64, error) { return resident(l.PID(peer.name)) })
}

// sampled is the median of an idle program's memory, 10^6 bytes.
func sampled(ctx context.Context, read func() (int64, error)) (float64, error) {
	var all []float64
	for range samples {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
		n, err := read()
		if err != nil {
			return 0, err
		}
		if n <= 0 {
			return 0, fmt.Errorf("memory is reported as %d bytes", n)
		}
		all = append(all, float64(n)/1e6)
	}
	return median(all), nil
}

// resident is the resident set of a process in bytes (proc(5), VmRSS).
func resident(pid int) (int64, error) { return processStatus(pid, "VmRSS") }

// processStatus is a size of proc(5)'s status in bytes.
func processStatus(pid int, field string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		var kib int64
		if n, _ := fmt.Sscanf(string(line), field+": %d kB", &kib); n == 1 {
			return kib * 1024, nil
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, field)
}
