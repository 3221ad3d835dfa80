package store

import (
	"context"
	"fmt"
)

// Private holds keys that are no resources and never in a View: the PKI, join
// tokens, hashes of bearer tokens. Every call goes to etcd.
type Private struct{ backend backend }

// Private is the private part of the store.
func (s *Store) Private() *Private { return &Private{s.backend} }

// Get is the value of a key, and whether there is one.
func (p *Private) Get(ctx context.Context, key string) ([]byte, bool, error) {
	found, err := read(ctx, p.backend, privatePrefix+key, "")
	if err != nil {
		return nil, false, fmt.Errorf("get private key %s: %w", key, err)
	}
	if len(found) == 0 {
		return nil, false, nil
	}
	return found[0].value, true, nil
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
	return p.write(ctx, "put", entry{key: privatePrefix + key, value: present(value)})
}

// Delete removes a key; a missing one is fine.
func (p *Private) Delete(ctx context.Context, key string) error {
	return p.write(ctx, "delete", entry{key: privatePrefix + key})
}

func (p *Private) write(ctx context.Context, verb string, e entry) error {
	if _, _, err := p.backend.commit(ctx, nil, []entry{e}); err != nil {
		return fmt.Errorf("%s private key %s: %w", verb, e.key[len(privatePrefix):], err)
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
