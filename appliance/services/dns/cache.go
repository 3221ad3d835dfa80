package dns

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// cacheShards spreads locks; a power of two.
const cacheShards = 8

// cache holds answers up to a number of bytes. Which one goes when it is full
// is decided by SIEVE (Zhang et al., NSDI 2024): a hit sets a bit and moves
// nothing, so readers share a lock.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]shard
}

type shard struct {
	mu             sync.RWMutex
	entries        map[string]*entry
	newest, oldest *entry
	hand           *entry
	bytes          int
	limit          atomic.Int64
	evicted        atomic.Uint64
}

// newCache makes a cache of at most limit bytes.
func newCache(limit int) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].entries = make(map[string]*entry)
	}
	c.resize(limit)
	return c
}

// resize changes the limit, in bytes.
func (c *cache) resize(limit int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.limit.Store(int64(limit / cacheShards))
		s.mu.Lock()
		s.shrink()
		s.mu.Unlock()
	}
}

func (c *cache) shard(key []byte) *shard {
	return &c.shards[maphash.Bytes(c.seed, key)&(cacheShards-1)]
}

// get finds an entry, fresh or not; nil: none.
func (c *cache) get(key []byte) *entry {
	s := c.shard(key)
	s.mu.RLock()
	e := s.entries[string(key)]
	s.mu.RUnlock()
	if e != nil && !e.visited.Load() {
		e.visited.Store(true)
	}
	return e
}

// put keeps an entry under a key, in place of the one there. An entry that
// would take more than a sixteenth of the shard is not kept.
func (c *cache) put(key string, e *entry) {
	s := c.shard([]byte(key))
	e.key = key
	if int64(e.size()) > s.limit.Load()/16 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[key]; old != nil {
		s.remove(old)
	}
	s.entries[key] = e
	s.bytes += e.size()
	e.older = s.newest
	if s.newest != nil {
		s.newest.newer = e
	}
	s.newest = e
	if s.oldest == nil {
		s.oldest = e
	}
	s.shrink()
}

// shrink removes entries until the limit holds: the hand goes from old to new,
// spares once what was asked for since it last came by, and starts again.
func (s *shard) shrink() {
	for int64(s.bytes) > s.limit.Load() && s.oldest != nil {
		e := s.hand
		if e == nil {
			e = s.oldest
		}
		for e.visited.Load() {
			e.visited.Store(false)
			if e = e.newer; e == nil {
				e = s.oldest
			}
		}
		s.hand = e.newer
		s.remove(e)
		s.evicted.Add(1)
	}
}

// remove unlinks an entry. Readers may still hold it.
func (s *shard) remove(e *entry) {
	delete(s.entries, e.key)
	s.bytes -= e.size()
	if s.hand == e {
		s.hand = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	e.older, e.newer = nil, nil
}

// usage is how many entries there are, their bytes, and how many had to go.
func (c *cache) usage() (entries, bytes int, evicted uint64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		entries += len(s.entries)
		bytes += s.bytes
		s.mu.RUnlock()
		evicted += s.evicted.Load()
	}
	return entries, bytes, evicted
}
