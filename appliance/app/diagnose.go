package app

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"time"

	"github.com/sluice-nfv/sluice/appliance/agent"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// sectionBytes bounds one section of the diagnostics: ten thousand mappings
// are no reading matter.
const sectionBytes = 128 << 10

func (a *App) tools() agent.Tools {
	return agent.Tools{
		Probe:    a.probe,
		Diagnose: a.diagnose,
		FlushConntrack: func(ctx context.Context) error {
			_, err := a.kernel.Sweep(ctx, func(dataplane.Flow) bool { return true })
			return err
		},
	}
}

// diagnose reads what people ask for first. The programs and files are these
// and no others; nothing of the request gets here.
func (a *App) diagnose(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return map[string]string{
		"rules":      output(ctx, "iptables-save", "-c"),
		"mappings":   output(ctx, "nft", "list", "table", "ip", "sluice"),
		"routes":     fileText("/proc/net/route"),
		"neighbours": fileText("/proc/net/arp"),
		"links":      fileText("/proc/net/dev"),
		"conntrack":  fileText("/proc/net/stat/nf_conntrack"),
		"logs":       a.recent.String(),
	}
}

func output(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return name + ": " + err.Error() + "\n" + cut(out)
	}
	return cut(out)
}

func fileText(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return cut(b)
}

func cut(b []byte) string {
	if len(b) <= sectionBytes {
		return string(b)
	}
	b = b[:sectionBytes]
	return string(b[:bytes.LastIndexByte(b, '\n')+1]) + "... (cut)\n"
}
