package netfilter

import (
	"context"
	"os/exec"
)

// Diagnose is all of the packet filter as text, with counters, for people: the
// rules of iptables, and the mappings. What cannot be read says why.
func Diagnose(ctx context.Context) (rules, mappings []byte) {
	return printed(ctx, "iptables-save", "-c"), printed(ctx, "nft", "list", "table", "ip", tableName)
}

func printed(ctx context.Context, name string, args ...string) []byte {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return append([]byte(name+": "+err.Error()+"\n"), out...)
	}
	return out
}
