package agent

import (
	"bytes"
	"context"
	"os"
	"strconv"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// Status is what the router really is, read now, without the lists that are
// longer the more it has to do.
func (a *Agent) Status(ctx context.Context) agentv1.RouterStatus {
	seen := a.cfg.Router.Observe(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	return agentv1.RouterStatus{
		RouterUUID: a.cfg.RouterUUID, AgentVersion: a.cfg.Version, BootID: a.bootID, StartedAt: a.started,
		AcceptedGeneration: a.entry.Accepted.Generation, AcceptedHash: a.entry.Accepted.Hash,
		AppliedGeneration: a.entry.Applied.Generation, AppliedHash: a.entry.Applied.Hash,
		Services:       seen.Services,
		ConntrackCount: seen.ConntrackCount, ConntrackMax: seen.ConntrackMax, Flowtables: seen.Flowtables, Refused: seen.Refused, Warnings: seen.Warnings,
		MemoryBytes: residentBytes(), Ignored: a.ignored,
	}
}

// residentBytes is this process's resident set; 0 where unknown.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm") // proc(5): size resident shared ..., in pages
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
