package reconcile

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// tokenLife is how long after it was made a join token is taken: long enough
// for a boot under emulation on a busy host, too short to be worth stealing
// from an old config drive.
const tokenLife = 10 * time.Minute

// tokenKey is where a router's join token is kept: one a router, so that a
// build that was given up leaves none behind.
func tokenKey(router string) string { return "join-token/" + router }

// joinToken is what proves a fresh agent to be the one of a build. The zero
// one is none.
type joinToken struct {
	Epoch  int64     `json:"epoch"`
	Made   time.Time `json:"made"`
	Secret string    `json:"secret"`
}

func (t joinToken) old(now time.Time) bool {
	return t.Secret != "" && now.Sub(t.Made) > tokenLife
}

// token makes the join token of this build, unless it has one.
func (c *call) token(ctx context.Context) error {
	t, err := c.readToken(ctx, c.row)
	if err != nil || t.Secret != "" {
		return err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	value, err := json.Marshal(joinToken{Epoch: c.row.Epoch, Made: time.Now().UTC(), Secret: base64.RawURLEncoding.EncodeToString(secret)})
	if err != nil {
		return err
	}
	return c.Store.Private().Put(ctx, tokenKey(c.uuid), value)
}

// readToken is the join token of the router's present build, or none.
func (w *worker) readToken(ctx context.Context, r *v1.VirtualRouter) (joinToken, error) {
	var t joinToken
	value, ok, err := w.Store.Private().Get(ctx, tokenKey(r.UUID))
	if err != nil || !ok {
		return t, err
	}
	if err := json.Unmarshal(value, &t); err != nil {
		return t, fmt.Errorf("read join token of router %s: %w", r.UUID, err)
	}
	if t.Epoch != r.Epoch {
		return joinToken{}, nil
	}
	return t, nil
}
