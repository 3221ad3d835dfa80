package store

import (
	"encoding/json"
	"fmt"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Keys. The epoch and the resources are next to each other but for the private
// keys, so that one watch sees both in order; the locks, whose leases come and
// go all the time, sort behind.
const (
	prefix         = "/sluice/v1/"
	epochKey       = prefix + "epoch"
	privatePrefix  = prefix + "p/"
	resourcePrefix = prefix + "r/"
	lockPrefix     = prefix + "s/lock/"

	modelStart = epochKey
	modelEnd   = prefix + "r0" // the first key after resourcePrefix
)

func resourceKey(k model.Key) string { return resourcePrefix + k.Kind.String() + "/" + k.UUID }

// parseKey finds the resource that a key holds.
func parseKey(key string) (model.Key, error) {
	path, uuid, _ := strings.Cut(strings.TrimPrefix(key, resourcePrefix), "/")
	kind, ok := model.KindByPath(path)
	if !ok || uuid == "" {
		return model.Key{}, fmt.Errorf("decode key %s: no such kind of resource; was it written by a newer version?", key)
	}
	return model.Key{Kind: kind, UUID: uuid}, nil
}

func encode(r v1.Resource) ([]byte, error) {
	return json.Marshal(r)
}

// decode gives the resource the revision of its key: what the value itself
// says is that of its previous version.
func decode(k model.Key, e entry) (v1.Resource, error) {
	r := k.Kind.New()
	if err := json.Unmarshal(e.value, r); err != nil {
		return nil, fmt.Errorf("decode key %s: %w", e.key, err)
	}
	m := r.GetMeta()
	if m.UUID != k.UUID {
		return nil, fmt.Errorf("decode key %s: the value is of %q", e.key, m.UUID)
	}
	m.Revision = e.revision
	return r, nil
}
