package main

import (
	"context"
	"time"

	"github.com/sluice-nfv/sluice/test/boot"
)

// bootBoth boots the template and the least that the same kernel can do, one
// after the other, and returns the latter's time.
func (b *bench) bootBoth(ctx context.Context) (bare time.Duration, err error) {
	r, err := boot.Measure(ctx, boot.Options{Template: b.image, Runs: 1})
	if err != nil {
		return 0, err
	}
	b.boots.Manifest = r.Manifest
	b.boots.OursAll = append(b.boots.OursAll, r.Ours)
	b.boots.StartAll = append(b.boots.StartAll, r.Start)
	b.boots.PeerAll = append(b.boots.PeerAll, r.Peer)
	return r.Peer, nil
}

// bootRatio takes the boots that were measured already, and more if they are few.
func bootRatio(ctx context.Context, b *bench) ([]result, error) {
	for len(b.boots.PeerAll) < b.runs {
		if _, err := b.bootBoth(ctx); err != nil {
			return nil, err
		}
	}
	bare := median(b.boots.PeerAll).Seconds()
	remark("boot-ratio: %d boots each, in turns, load=%s", len(b.boots.PeerAll), load())
	return []result{
		against("boot-ratio", "s", median(b.boots.OursAll).Seconds(), "busybox", bare, boot.GoalRatio),
		against("boot-start-ratio", "s", median(b.boots.StartAll).Seconds(), "busybox", bare, boot.GoalRatio),
		bound("image-size", "MB", float64(b.boots.Manifest.BootBytes())/1e6, boot.GoalSizeMB),
	}, nil
}
