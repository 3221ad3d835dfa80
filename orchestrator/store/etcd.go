package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

// etcd is the backend on a client, be it in-process or over the network.
type etcd struct {
	client *clientv3.Client
	// stop ends what is below the client: the embedded server.
	stop func() error

	mu      sync.Mutex
	session *concurrency.Session
}

// dialEtcd connects to an existing cluster.
func dialEtcd(c Config) (*etcd, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: c.Endpoints, TLS: c.TLS,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    5 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		Logger:               zap.New(slogCore{c.Log}),
	})
	if err != nil {
		return nil, fmt.Errorf("dial etcd: %w", err)
	}
	return &etcd{client: client, stop: func() error { return nil }}, nil
}

// pageSize is how many keys one answer holds. etcd counts all that follow for
// each, so few and large ones; with values of a KiB they are some 10 MB.
const pageSize = 10_000

// scan reads the next page while the last one is made use of.
func (b *etcd) scan(ctx context.Context, from, end string, each func([]entry) error) (revision int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pages := make(chan *clientv3.GetResponse)
	failed := make(chan error, 1)
	go func() {
		defer close(pages)
		failed <- b.pages(ctx, from, end, pages)
	}()
	for page := range pages {
		entries := make([]entry, len(page.Kvs))
		for i, kv := range page.Kvs {
			entries[i] = entry{string(kv.Key), present(kv.Value), kv.ModRevision}
		}
		if revision == 0 {
			revision = page.Header.Revision
		}
		if err := each(entries); err != nil {
			return 0, err
		}
	}
	return revision, <-failed
}

// pages sends a range as it is at the revision of the first page.
func (b *etcd) pages(ctx context.Context, from, end string, to chan<- *clientv3.GetResponse) error {
	var revision int64
	for {
		opts := []clientv3.OpOption{clientv3.WithLimit(pageSize), clientv3.WithRev(revision)}
		if end != "" {
			opts = append(opts, clientv3.WithRange(end))
		}
		page, err := b.client.Get(ctx, from, opts...)
		if err != nil {
			return err
		}
		if revision == 0 {
			revision = page.Header.Revision
		}
		select {
		case to <- page:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !page.More {
			return nil
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

func (b *etcd) watch(ctx context.Context, from, end string, after int64) <-chan batch {
	batches := make(chan batch)
	// Without a leader a watch is silent for ever; better to be told.
	in := b.client.Watch(clientv3.WithRequireLeader(ctx), from, clientv3.WithRange(end), clientv3.WithRev(after+1))
	go func() {
		defer close(batches)
		for resp := range in {
			select {
			case batches <- batchOf(resp):
			case <-ctx.Done():
				return
			}
		}
	}()
	return batches
}

func batchOf(resp clientv3.WatchResponse) batch {
	if err := resp.Err(); err != nil {
		return batch{err: fmt.Errorf("watch etcd: %w", err)}
	}
	out := batch{entries: make([]entry, 0, len(resp.Events))}
	for _, ev := range resp.Events {
		e := entry{key: string(ev.Kv.Key), revision: ev.Kv.ModRevision}
		if ev.Type == clientv3.EventTypePut {
			e.value = present(ev.Kv.Value)
		}
		out.entries = append(out.entries, e)
		// The header is of the store when it answered, which may be later
		// than the events; only theirs have been seen.
		out.revision = max(out.revision, e.revision)
	}
	return out
}

func (b *etcd) commit(ctx context.Context, g *guard, writes []entry) (int64, bool, error) {
	txn := b.client.Txn(ctx)
	if g != nil {
		txn = txn.If(clientv3.Compare(clientv3.ModRevision(g.key), "=", g.revision))
	}
	ops := make([]clientv3.Op, 0, len(writes))
	for _, e := range writes {
		if e.value == nil {
			ops = append(ops, clientv3.OpDelete(e.key))
		} else {
			ops = append(ops, clientv3.OpPut(e.key, string(e.value)))
		}
	}
	resp, err := txn.Then(ops...).Commit()
	if errors.Is(err, rpctypes.ErrTooManyOps) {
		return 0, false, fmt.Errorf("%d writes in one transaction: start etcd with a higher --max-txn-ops: %w", len(ops), err)
	}
	if err != nil {
		return 0, false, full(err)
	}
	return resp.Header.Revision, resp.Succeeded, nil
}

// lockTTL is how long the locks of a dead orchestrator stay, in seconds.
const lockTTL = 10

func (b *etcd) acquire(ctx context.Context, name string) (*Lock, error) {
	session, err := b.liveSession()
	if err != nil {
		return nil, err
	}
	// Escaped, because a lock "a" would take the holder of "a/b" for its own.
	mutex := concurrency.NewMutex(session, lockPrefix+url.PathEscape(name))
	if err := mutex.Lock(ctx); err != nil {
		return nil, full(err)
	}
	return &Lock{Fence: mutex.Header().Revision, Lost: session.Done(), release: func() {
		ctx, cancel := context.WithTimeout(context.Background(), lockTTL*time.Second)
		defer cancel()
		// On failure the key stays for as long as the lease: give that up.
		if err := mutex.Unlock(ctx); err != nil && b.client.Ctx().Err() == nil {
			session.Orphan()
		}
	}}, nil
}

// liveSession is the one lease that all locks of this process hang on.
func (b *etcd) liveSession() (*concurrency.Session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != nil {
		select {
		case <-b.session.Done():
		default:
			return b.session, nil
		}
	}
	session, err := concurrency.NewSession(b.client, concurrency.WithTTL(lockTTL))
	if err != nil {
		return nil, fmt.Errorf("make lease: %w", full(err))
	}
	if session == nil { // NewSession's answer when the client is closing
		return nil, errClosed
	}
	b.session = session
	return session, nil
}

func (b *etcd) close() error {
	b.mu.Lock()
	session := b.session
	b.mu.Unlock()
	if session != nil {
		// Revoking frees our locks at once instead of after lockTTL. If etcd
		// is away, so be it.
		ctx, cancel := context.WithTimeout(b.client.Ctx(), time.Second)
		session.Orphan()
		_, _ = b.client.Revoke(ctx, session.Lease())
		cancel()
	}
	err := b.client.Close()
	if errors.Is(err, context.Canceled) { // what closing an in-process client says
		err = nil
	}
	return errors.Join(err, b.stop())
}
