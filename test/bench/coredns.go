package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/test/lab"
)

// coredns serves a content's names out of a hosts file, and asks the upstream
// about all others. Debian has none: it is built once, from hack/coredns, with
// the plugins for this and no more.
func (b *bench) coredns(ctx context.Context, l *lab.Lab, c agentv1.Content, ready []string) (server, error) {
	program := filepath.Join(b.bin, "coredns")
	if _, err := os.Stat(program); err != nil {
		progress("building coredns")
		if out, err := exec.CommandContext(ctx, "go", "build", "-C", "hack/coredns", "-trimpath", "-o", program, ".").CombinedOutput(); err != nil {
			return server{}, fmt.Errorf("build coredns: %w: %s", err, tail(string(out)))
		}
	}
	var hosts strings.Builder
	n := c.DNS[0]
	for _, r := range n.Records {
		fmt.Fprintf(&hosts, "%s %s.%s\n", r.IP, r.Name, n.Domain)
	}
	conf := fmt.Sprintf(".:53 {\n bind %s\n errors\n cache 3600 {\n  success %d\n }\n hosts %s %s {\n  ttl 60\n  fallthrough\n }\n forward . %s\n}\n",
		serverIP, missGuests*missNames, filepath.Join(l.Dir, "coredns.hosts"), n.Domain, upstreamIP)
	return server{
		name: "coredns", command: []string{program, "-conf", filepath.Join(l.Dir, "Corefile")}, ready: ready,
		files: map[string]string{"Corefile": conf, "coredns.hosts": hosts.String()},
	}, nil
}
