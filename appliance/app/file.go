package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/agent"
	"github.com/sluice-nfv/sluice/appliance/ledger"
)

const (
	// pollEvery is how often the file is looked at. A poll sees a file that
	// was replaced, and one on any file system; inotify neither.
	pollEvery = 250 * time.Millisecond
	// nameless is the router of a file that does not say.
	nameless = "local"
)

func (a *App) withFile() error {
	if a.cfg.Listen != "" {
		if _, err := loopbackOnly(a.cfg.Listen); err != nil {
			return err
		}
	}
	a.router = NewRouter(a.plane, NewServices(a.log), false, nil)
	return a.withAgent(a.fileRouter())
}

// fileRouter is the router that the file is for. An unreadable file is
// reported later, and may be mended while the agent runs.
func (a *App) fileRouter() string {
	f, err := os.Open(a.cfg.SpecFile)
	if err != nil {
		return nameless
	}
	defer f.Close()
	return cmp.Or(routerOf(f), nameless)
}

// routerOf reads a spec's routerUuid, and no further: what comes behind it may
// be long. Empty: it has none.
func routerOf(spec io.Reader) string {
	dec := json.NewDecoder(spec)
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return ""
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return ""
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return ""
		}
		if key == "routerUuid" {
			var uuid string
			_ = json.Unmarshal(value, &uuid) // another type is reported when it is applied
			return uuid
		}
	}
	return ""
}

func readSpec(path string) (agent.Incoming, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return agent.Incoming{}, err
	}
	return agent.Decode(raw)
}

// offerFile gives the file's content to the agent, in a spec of our own: there
// is one writer and no way back in time, so generation, hash and fence of the
// file say nothing. Bad content is reported and what was there stays.
func (a *App) offerFile() {
	in, err := readSpec(a.cfg.SpecFile)
	if err == nil && len(in.Ignored) > 0 {
		a.log.Warn("unknown fields ignored", "file", a.cfg.SpecFile, "fields", in.Ignored)
	}
	if err == nil && in.Spec.Version > agentv1.SpecVersion {
		err = fmt.Errorf("spec version %d is newer than %d", in.Spec.Version, agentv1.SpecVersion)
	}
	if err == nil {
		d := in.Digest
		if len(in.Ignored) > 0 { // which is not in the content
			d = in.Spec.Content.Digest()
		}
		err = a.offerContent(in.Spec.Content, d)
	}
	if err != nil {
		a.log.Error("spec file not applied", "file", a.cfg.SpecFile, "err", err)
	}
}

func (a *App) offerContent(c agentv1.Content, d agentv1.Digest) error {
	now := a.agent.Accepted()
	spec := agentv1.RouterSpec{
		Version: agentv1.SpecVersion, RouterUUID: a.agent.Router(), Generation: now.Generation, Hash: d.String(), Content: c,
	}
	if now != (ledger.Mark{Generation: spec.Generation, Hash: spec.Hash}) {
		spec.Generation++
	}
	return a.agent.Offer(spec, d)
}

func (a *App) runFile(ctx context.Context) error {
	if err := a.agent.Settled(ctx); err != nil {
		return nil // stopped before the first apply was done
	}
	served := make(chan error, 1)
	if a.cfg.Listen != "" {
		ln, err := net.Listen("tcp", a.cfg.Listen)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		go func() { served <- agent.Serve(ctx, ln, nil, a.agent.ReadOnlyHandler(), a.log) }()
	}
	a.ready("spec", a.cfg.SpecFile)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for seen := stamp(a.cfg.SpecFile); ; {
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			return err
		case <-tick.C:
			if now := stamp(a.cfg.SpecFile); now != seen {
				seen = now
				a.offerFile()
			}
		}
	}
}

// stamp changes when the file does; empty while it is missing.
func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	var inode uint64 // of a replaced file it is another, whatever its time
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = sys.Ino
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size(), inode)
}
