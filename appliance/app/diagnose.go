package app

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/appliance/agent"
	"github.com/sluice-nfv/sluice/appliance/boot"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/netfilter"
)

// sectionBytes bounds one section of the diagnostics: ten thousand mappings
// are no reading matter.
const sectionBytes = 128 << 10

func (a *App) tools() agent.Tools {
	t := agent.Tools{
		Probe:    a.probe,
		Diagnose: a.diagnose,
		FlushConntrack: func(ctx context.Context) error {
			_, err := a.kernel.Sweep(ctx, func(dataplane.Flow) bool { return true })
			return err
		},
	}
	if os.Getppid() == 1 && a.cfg.Drive == boot.ConfigDir { // a machine of its own
		t.Reboot = func() error { return rebootSoon(func() error { return unix.Kill(1, boot.RebootSignal) }, a.log) }
	}
	return t
}

// rebootAfter lets the answer to the command go out first.
const rebootAfter = 50 * time.Millisecond

func rebootSoon(reboot func() error, log *slog.Logger) error {
	log.Info("reboot")
	time.AfterFunc(rebootAfter, func() {
		if err := reboot(); err != nil {
			log.Error("reboot", "err", err)
		}
	})
	return nil
}

// diagnose reads what people ask for first. The files are these and no others;
// nothing of the request gets here.
func (a *App) diagnose(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	rules, mappings := netfilter.Diagnose(ctx)
	return map[string]string{
		"rules":      cut(rules),
		"mappings":   cut(mappings),
		"routes":     fileText("/proc/net/route"),
		"neighbours": fileText("/proc/net/arp"),
		"links":      fileText("/proc/net/dev"),
		"conntrack":  fileText("/proc/net/stat/nf_conntrack"),
		"logs":       a.recent.String(),
	}
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
