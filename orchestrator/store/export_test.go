package store

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// MemoryBackend is one memory for several stores.
type MemoryBackend struct{ *memory }

func NewMemoryBackend() MemoryBackend { return MemoryBackend{newMemory()} }

// Compact breaks all watches.
func (m MemoryBackend) Compact() { m.compact() }

// PutRaw writes a key behind the stores' back.
func (m MemoryBackend) PutRaw(key, value string) {
	_, _, _ = m.commit(context.Background(), nil, []entry{{key: key, value: []byte(value)}})
}

// Open is a store on it that leaves the memory open when it closes.
func (m MemoryBackend) Open(ctx context.Context) (*Store, error) {
	return open(ctx, unowned{m.memory, make(chan struct{})}, model.Catalog{}, slog.New(slog.DiscardHandler))
}

type unowned struct {
	*memory
	gone chan struct{}
}

func (u unowned) acquire(ctx context.Context, name string) (*Lock, error) {
	l, err := u.memory.acquire(ctx, name)
	if err != nil {
		return nil, err
	}
	l.Lost = u.gone
	context.AfterFunc(closedContext(u.gone), l.Unlock) // as revoking the lease does
	return l, nil
}

func closedContext(c <-chan struct{}) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-c; cancel() }()
	return ctx
}

func (u unowned) close() error { close(u.gone); return nil }

// StartListening is an embedded etcd with a client socket.
func StartListening(t *testing.T, configure func(*embed.Config)) {
	t.Helper()
	c := embeddedConfig(t.TempDir(), DefaultQuota, slog.Default())
	configure(c)
	smallWAL()
	server, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	<-server.Server.ReadyNotify()
}

// OpenLate is a store that hears of every change late.
func (m MemoryBackend) OpenLate(ctx context.Context, by time.Duration) (*Store, error) {
	return open(ctx, late{unowned{m.memory, make(chan struct{})}, by}, model.Catalog{}, slog.New(slog.DiscardHandler))
}

type late struct {
	unowned
	by time.Duration
}

func (l late) watch(ctx context.Context, from, end string, after int64) <-chan batch {
	out := make(chan batch)
	go func() {
		defer close(out)
		for b := range l.unowned.watch(ctx, from, end, after) {
			time.Sleep(l.by)
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// OpenLossy is a store whose commits are made while their answers are lost.
func (m MemoryBackend) OpenLossy(ctx context.Context) (*Store, error) {
	return open(ctx, lossy{unowned{m.memory, make(chan struct{})}}, model.Catalog{}, slog.New(slog.DiscardHandler))
}

type lossy struct{ unowned }

func (l lossy) commit(ctx context.Context, g *guard, writes []entry) (int64, bool, error) {
	_, _, _ = l.unowned.commit(ctx, g, writes)
	return 0, false, errors.New("connection reset")
}

// OpenRestored is a store on it whose revisions are ahead, as after a restore.
func (m MemoryBackend) OpenRestored(ctx context.Context, base int64) (*Store, error) {
	if found, err := read(ctx, m.memory, baseKey, ""); err != nil || len(found) == 0 {
		m.PutRaw(baseKey, strconv.FormatInt(base, 10))
	}
	return m.Open(ctx)
}

// GenerationJump is how far routers' generations are ahead after a restore.
const GenerationJump = generationJump
