// Package boot measures how fast the router template starts, against the least
// that the same kernel can do: a RAM disk with one static busybox. Both boot in
// the same QEMU with the same devices and kernel options, one after the other,
// so that the host's load of the moment weighs on both.
package boot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluice-nfv/sluice/imagebuild"
	"github.com/sluice-nfv/sluice/imagebuild/tryboot"
)

// Goals that the figures are held against.
const (
	GoalRatio  = 1.6 // ours / busybox, emulated CPU
	GoalSizeMB = 40  // kernel and RAM disk together, 10^6 bytes
)

// AgentLine is what the agent prints when it listens on the management nic.
const AgentLine = "sluice-agent: ready"

// Options of a measurement.
type Options struct {
	Template string        // directory made by sluice-image build
	Runs     int           // boots of each, 3 if 0
	Line     string        // console line that ends our boot, AgentLine if ""
	Busybox  string        // static busybox, /bin/busybox if ""
	Timeout  time.Duration // for each boot, a minute if 0
}

// Result of a measurement. Times are medians over Runs boots, from QEMU's start.
type Result struct {
	Manifest imagebuild.Manifest
	Ours     time.Duration // to Options.Line
	Start    time.Duration // to the start of the agent by process 1, same boots
	Peer     time.Duration // to busybox's line
	OursAll  []time.Duration
	StartAll []time.Duration
	PeerAll  []time.Duration
}

// Ratio is ours over the peer's.
func (r Result) Ratio() float64 { return float64(r.Ours) / float64(r.Peer) }

// StartRatio is the same for the part that is the template's alone: until the
// agent is started.
func (r Result) StartRatio() float64 { return float64(r.Start) / float64(r.Peer) }

// Lines are the result as `make bench` prints it.
func (r Result) Lines() []string {
	return []string{
		fmt.Sprintf("BENCH boot-ratio ours=%.2fs peer=busybox:%.2fs ratio=%.2f goal=<=%.1f",
			r.Ours.Seconds(), r.Peer.Seconds(), r.Ratio(), GoalRatio),
		fmt.Sprintf("BENCH boot-start-ratio ours=%.2fs peer=busybox:%.2fs ratio=%.2f goal=<=%.1f",
			r.Start.Seconds(), r.Peer.Seconds(), r.StartRatio(), GoalRatio),
		fmt.Sprintf("BENCH image-size ours=%.1fMB peer=goal:%dMB", float64(r.Manifest.BootBytes())/1e6, GoalSizeMB),
	}
}

// Measure boots the template and the peer in turns. Any boot that fails ends
// the measurement with its console's last lines.
func Measure(ctx context.Context, o Options) (Result, error) {
	o = o.withDefaults()
	m, err := imagebuild.ReadManifest(o.Template)
	if err != nil {
		return Result{}, err
	}
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return Result{}, fmt.Errorf("create scratch directory: %w", err)
	}
	defer os.RemoveAll(dir)
	config, peerInitrd := filepath.Join(dir, "config.iso"), filepath.Join(dir, "peer")
	if err := writeConfig(config); err != nil {
		return Result{}, err
	}
	if err := writePeer(peerInitrd, o.Busybox); err != nil {
		return Result{}, err
	}
	ours := imagebuild.DirectMachine(o.Template, m, config)
	peer := ours
	peer.Initrd = peerInitrd
	ours.Mark = imagebuild.ReadyLine
	return o.run(ctx, Result{Manifest: m}, ours, peer)
}

func (o Options) withDefaults() Options {
	if o.Runs <= 0 {
		o.Runs = 3
	}
	if o.Line == "" {
		o.Line = AgentLine
	}
	if o.Busybox == "" {
		o.Busybox = "/bin/busybox"
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	return o
}

func (o Options) run(ctx context.Context, r Result, ours, peer tryboot.Machine) (Result, error) {
	for range o.Runs {
		a, err := o.once(ctx, ours, o.Line)
		if err != nil {
			return r, fmt.Errorf("boot template: %w", err)
		}
		b, err := o.once(ctx, peer, peerLine)
		if err != nil {
			return r, fmt.Errorf("boot busybox: %w", err)
		}
		r.OursAll, r.StartAll = append(r.OursAll, a.Wall), append(r.StartAll, a.Mark)
		r.PeerAll = append(r.PeerAll, b.Wall)
	}
	r.Ours, r.Start, r.Peer = median(r.OursAll), median(r.StartAll), median(r.PeerAll)
	return r, nil
}

func (o Options) once(ctx context.Context, m tryboot.Machine, line string) (tryboot.Boot, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	return tryboot.Until(ctx, m, line)
}

// median of at least one value; the mean of the middle two if their number is
// even.
func median(all []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(all))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
