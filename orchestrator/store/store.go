// Package store keeps the resource model in etcd: embedded in the process, or
// an existing cluster. Reads come from a View in memory that a watch keeps
// current and that is published through one atomic pointer; writes run a rule
// on a private Tx and commit all of it in one etcd transaction, guarded by an
// epoch key that every commit rewrites. All commits are therefore serialised
// across every orchestrator on the same etcd, and whatever a rule checked
// about the whole model still holds when its writes land.
package store

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Config says where the data is. Exactly one of Dir and Endpoints is set.
type Config struct {
	// Dir is the folder of the embedded etcd; it is made with mode 0700.
	Dir string
	// Quota is how large the embedded etcd's database may be, in bytes; 0 is
	// DefaultQuota. Beyond it writes are refused (CodeFull) until there is room.
	Quota int64
	// Endpoints of an existing etcd >= 3.6. Start it with --max-txn-ops of at
	// least 4096: a cascading delete is one transaction.
	Endpoints []string
	// Catalog is what views offer the rules.
	Catalog model.Catalog
	// TLS for Endpoints; nil is plain text.
	TLS *tls.Config
	// Log is slog.Default() if nil.
	Log *slog.Logger
}

// Store is the model and the private keys beside it. It is safe for concurrent
// use.
type Store struct {
	backend backend
	catalog model.Catalog
	log     *slog.Logger
	// current is what readers see; only the feeder replaces it.
	current atomic.Pointer[frame]
	// trouble is why the view may be behind the store; nil when it is not.
	trouble atomic.Pointer[error]
	// writing holds one token: one rule at a time runs in this process, so
	// that goroutines of one orchestrator never make each other run again.
	writing chan struct{}
	locks   localLocks

	stop    context.CancelFunc
	running context.Context
	fed     chan struct{}
	closing sync.Once
	closed  error
}

// openTimeout bounds how long the first read of everything may take.
const openTimeout = 30 * time.Second

// manyNics is from where on the memory of the first read is worth a collection.
const manyNics = 5_000

// Open starts or joins the etcd and reads everything. It fails, naming the
// key, if a stored value cannot be decoded, and if another process uses Dir.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if (c.Dir == "") == (len(c.Endpoints) == 0) {
		return nil, errors.New("open store: set either a directory or endpoints")
	}
	var b backend
	var err error
	if c.Dir != "" {
		b, err = startEmbedded(ctx, c.Dir, cmp.Or(c.Quota, DefaultQuota), c.Log)
	} else {
		b, err = dialEtcd(c)
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return open(ctx, b, c.Catalog, c.Log)
}

// NewMemory is a store that keeps everything in this process, with the same
// behaviour otherwise. For tests.
func NewMemory(c model.Catalog) *Store {
	s, err := open(context.Background(), newMemory(), c, slog.Default())
	if err != nil { // an empty one holds nothing that could fail to load
		panic("store: open memory: " + err.Error())
	}
	return s
}

func open(ctx context.Context, b backend, c model.Catalog, log *slog.Logger) (*Store, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	base, err := baseOf(ctx, b)
	if err == nil {
		err = checkWhole(ctx, b)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), b.close())
	}
	if base > 0 {
		b = shifted{b, base}
	}
	s := &Store{backend: b, catalog: c, log: log, writing: make(chan struct{}, 1), fed: make(chan struct{})}
	s.running, s.stop = context.WithCancel(context.Background())
	if err := s.load(ctx); err != nil {
		s.stop()
		return nil, errors.Join(fmt.Errorf("open store: %w", err), b.close())
	}
	if s.View().Len(model.Nics) > manyNics {
		debug.FreeOSMemory() // reading took several times what is left
	}
	go s.feed()
	return s, nil
}

// View is everything stored, as of the newest change that has arrived. Later
// calls never show an older one.
func (s *Store) View() *model.View { return s.current.Load().view }

// Trouble is nil while the view follows the store, and otherwise why it may be
// behind (readiness).
func (s *Store) Trouble() error {
	if err := s.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// Close ends watches, locks and the embedded etcd. Calling it again returns
// the same.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.stop()
		<-s.fed
		s.closed = s.backend.close()
	})
	return s.closed
}

var errClosed = v1.Unavailable("store-closed", "the store is closed: the orchestrator is shutting down; retry later")
