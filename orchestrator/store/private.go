package store

import (
	"context"
	"fmt"
	"strings"
)

// Private holds keys that are no resources and never in a View: the PKI, join
// tokens, hashes of bearer tokens. Every call goes to etcd.
type Private struct{ backend backend }

// Private is the private part of the store.
func (s *Store) Private() *Private { return &Private{s.backend} }

// Entry is a private key as it was read.
type Entry struct {
	Key      string
	Value    []byte
	revision int64
}

// Get is the value of a key, and whether there is one.
func (p *Private) Get(ctx context.Context, key string) ([]byte, bool, error) {
	e, found, err := p.Entry(ctx, key)
	return e.Value, found, err
}

// Entry is Get for those who go on with PutWhile.
func (p *Private) Entry(ctx context.Context, key string) (Entry, bool, error) {
	found, err := read(ctx, p.backend, privatePrefix+key, "")
	if err != nil {
		return Entry{}, false, fmt.Errorf("get private key %s: %w", key, err)
	}
	if len(found) == 0 {
		return Entry{}, false, nil
	}
	return Entry{key, found[0].value, found[0].revision}, true, nil
}

// Entries are the keys that begin with a prefix, which ends in "/", ascending.
func (p *Private) Entries(ctx context.Context, prefix string) ([]Entry, error) {
	end := strings.TrimSuffix(prefix, "/") + "0" // the first key behind
	found, err := read(ctx, p.backend, privatePrefix+prefix, privatePrefix+end)
	if err != nil {
		return nil, fmt.Errorf("list private keys of %s: %w", prefix, err)
	}
	entries := make([]Entry, len(found))
	for i, e := range found {
		entries[i] = Entry{e.key[len(privatePrefix):], e.value, e.revision}
	}
	return entries, nil
}

// Keys are the keys from one on and before another, ascending. Their values are
// read too, so they should be small.
func (p *Private) Keys(ctx context.Context, from, before string) ([]string, error) {
	found, err := read(ctx, p.backend, privatePrefix+from, privatePrefix+before)
	if err != nil {
		return nil, fmt.Errorf("list private keys from %s: %w", from, err)
	}
	keys := make([]string, len(found))
	for i, e := range found {
		keys[i] = e.key[len(privatePrefix):]
	}
	return keys, nil
}

// Put writes a key.
func (p *Private) Put(ctx context.Context, key string, value []byte) error {
	if _, _, err := p.backend.commit(ctx, nil, []entry{{key: privatePrefix + key, value: present(value)}}); err != nil {
		return fmt.Errorf("put private key %s: %w", key, err)
	}
	return nil
}

// PutWhile writes a key if another one still is as it was read; false: it is
// not, and nothing was written.
func (p *Private) PutWhile(ctx context.Context, other Entry, key string, value []byte) (bool, error) {
	_, ok, err := p.backend.commit(ctx, &guard{privatePrefix + other.Key, other.revision}, []entry{{key: privatePrefix + key, value: present(value)}})
	if err != nil {
		return false, fmt.Errorf("put private key %s: %w", key, err)
	}
	return ok, nil
}

// Delete removes keys, all at once; missing ones are fine.
func (p *Private) Delete(ctx context.Context, keys ...string) error {
	gone := make([]entry, len(keys))
	for i, key := range keys {
		gone[i] = entry{key: privatePrefix + key}
	}
	if _, _, err := p.backend.commit(ctx, nil, gone); err != nil {
		return fmt.Errorf("delete private keys %s: %w", strings.Join(keys, ", "), err)
	}
	return nil
}

// PutOnce writes a key unless it exists, and returns the value that it has
// then: of several callers all get the first one's.
func (p *Private) PutOnce(ctx context.Context, key string, value []byte) ([]byte, error) {
	full := privatePrefix + key
	for {
		_, ok, err := p.backend.commit(ctx, &guard{full, 0}, []entry{{key: full, value: present(value)}})
		if err != nil {
			return nil, fmt.Errorf("put private key %s once: %w", key, err)
		}
		if ok {
			return value, nil
		}
		winner, found, err := p.Get(ctx, key)
		if err != nil || found {
			return winner, err
		}
	}
}

// present keeps an empty value apart from a delete.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}
