package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// startEmbedded runs a single-member etcd in this process. It listens nowhere:
// we call it in-process, and a single member has no peers.
func startEmbedded(ctx context.Context, dir string, quota int64, log *slog.Logger) (*etcd, error) {
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	if err := beginBirth(dir, log); err != nil {
		return nil, errors.Join(err, unlock())
	}
	smallWAL()
	server, err := startEtcd(embeddedConfig(dir, quota, log))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded etcd in %s: %w", dir, err), unlock())
	}
	stop := func() error {
		server.Close()
		return unlock()
	}
	select {
	case <-server.Server.ReadyNotify():
	case err = <-server.Err():
	case <-server.Server.StopNotify():
		err = errors.New("it stopped")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		err = endBirth(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded etcd in %s: %w", dir, err), stop())
	}
	b := &etcd{client: v3client.New(server.Server), stop: stop}
	k := keeper{client: b.client, defragment: server.Server.Backend().Defrag, quota: quota, log: log}
	if err := k.atStart(ctx); err != nil {
		log.Error("etcd's database stays as it is", "err", err) // reads are served
	}
	b.keep(k)
	return b, nil
}

// keep runs the keeper until what is below the client ends.
func (b *etcd) keep(k keeper) {
	ctx, cancel := context.WithCancel(context.Background())
	stop, done := b.stop, make(chan struct{})
	go func() {
		defer close(done)
		k.run(ctx)
	}()
	b.stop = func() error {
		cancel()
		<-done
		return stop()
	}
}

// etcdDir is where etcd keeps its files in a store's directory.
func etcdDir(dir string) string { return filepath.Join(dir, "etcd") }

func embeddedConfig(dir string, quota int64, log *slog.Logger) *embed.Config {
	c := embed.NewConfig()
	c.Name = "sluice"
	c.Dir = etcdDir(dir)
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	// A name for the only member; nobody listens or dials there.
	c.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2380"}}
	c.AdvertiseClientUrls = nil
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.TickMs, c.ElectionMs = 10, 100 // a single member only waits for itself
	c.SnapshotCount, c.SnapshotCatchUpEntries = 5000, 500
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, "10m"
	c.MaxTxnOps = 100_000          // a cascading delete is one transaction
	c.MaxRequestBytes = 10_000_000 // etcd's own advice is not to go beyond
	c.QuotaBackendBytes = quota
	c.WarningApplyDuration = time.Second // reading everything takes long, in pages
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(slogCore{log}, zap.WithFatalHook(panicking{})))
	return c
}

// smallWAL lowers what each log segment preallocates from 64 to 16 MB; the
// model of a big site is a few MB.
var smallWAL = sync.OnceFunc(func() { wal.SegmentSizeBytes = 16_000_000 })

// lockDir makes the directory ours. Without it a second server would not fail
// but wait in bbolt for the first one's end, for ever and silently.
func lockDir(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make store directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make lock file of store: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: another process uses this store: %w", f.Name(), err), f.Close())
	}
	return f.Close, nil // closing it unlocks
}
