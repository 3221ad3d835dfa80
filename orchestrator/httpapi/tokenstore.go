package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// Where tokens are, by the hash of their secret. Secrets are 256 random bits,
// so that a hash needs no salt and cannot be searched for. When a token was
// used is a key beside it, so that noting it never brings a revoked one back.
const (
	tokenPrefix = "tokens/"
	usedPrefix  = "token-use/"
)

var secretShape = regexp.MustCompile(`^sluice_[A-Za-z0-9_-]{43}$`)

// token is a token as it is stored.
type token struct {
	v1.Token
	// AccountDate is when its account was made: a later account of the same
	// UUID is another one, and the token is not its.
	AccountDate time.Time `json:"accountDate,omitzero"`

	entry store.Entry
}

func (t *token) expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// confined reports whether its role is one that an account can have.
func (t *token) confined() bool { return t.Role == v1.RoleAccount || t.Role == v1.RoleReadOnly }

// lives is false once the token's account is deleted.
func (t *token) lives(v *model.View) bool {
	if t.AccountUUID == "" {
		return true
	}
	a := model.Get[v1.Account](v, t.AccountUUID)
	return a != nil && a.CreateDate.Equal(t.AccountDate)
}

// tokenStore keeps tokens in the private part of the store. Every look-up goes
// to etcd, so that a revoked token is refused by every orchestrator at once.
type tokenStore struct {
	keys *store.Private

	mu sync.Mutex
	// noted is when the use of a token was last written by this process.
	noted map[string]time.Time
}

func newTokenStore(p *store.Private) *tokenStore {
	return &tokenStore{keys: p, noted: map[string]time.Time{}}
}

// tokenCaller begins the id of a caller with a token.
const tokenCaller = "token:"

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func newSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return "sluice_" + base64.RawURLEncoding.EncodeToString(b[:])
}

// find is the token with a secret, or nil.
func (s *tokenStore) find(ctx context.Context, secret string) (*token, error) {
	e, found, err := s.keys.Entry(ctx, tokenPrefix+hashOf(secret))
	if err != nil || !found {
		return nil, err
	}
	return decodeToken(e)
}

func decodeToken(e store.Entry) (*token, error) {
	t := &token{entry: e}
	if err := json.Unmarshal(e.Value, t); err != nil {
		return nil, fmt.Errorf("decode token: %w", err)
	}
	return t, nil
}

// list is every token with its last use, in order of creation.
func (s *tokenStore) list(ctx context.Context) ([]*token, error) {
	used, err := s.keys.Entries(ctx, usedPrefix)
	if err != nil {
		return nil, err
	}
	last := map[string]string{}
	for _, e := range used {
		last[strings.TrimPrefix(e.Key, usedPrefix)] = string(e.Value)
	}
	entries, err := s.keys.Entries(ctx, tokenPrefix)
	if err != nil {
		return nil, err
	}
	all := make([]*token, 0, len(entries))
	for _, e := range entries {
		t, err := decodeToken(e)
		if err != nil {
			return nil, err
		}
		t.LastUsed, _ = time.Parse(time.RFC3339, last[t.hash()]) // the zero time if never
		all = append(all, t)
	}
	return all, nil
}

func (t *token) hash() string { return strings.TrimPrefix(t.entry.Key, tokenPrefix) }

// add stores a token and returns its secret.
func (s *tokenStore) add(ctx context.Context, t *token) (secret string, err error) {
	secret = newSecret()
	return secret, s.put(ctx, secret, t)
}

func (s *tokenStore) put(ctx context.Context, secret string, t *token) error {
	value, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode token: %w", err)
	}
	return s.keys.Put(ctx, tokenPrefix+hashOf(secret), value)
}

// addToken is addFor within the quota of the account that the token is for.
func (a *API) addToken(ctx context.Context, c *Caller, t *token) (secret string, err error) {
	if t.AccountUUID == "" {
		return a.tokens.addFor(ctx, c, t)
	}
	lock, err := a.store.Lock(ctx, "tokens/"+t.AccountUUID) // or two at once took the last place
	if err != nil {
		return "", err
	}
	defer lock.Unlock()
	used, err := a.tokens.ofAccounts(ctx, a.store.View())
	if err != nil {
		return "", err
	}
	if account := model.Get[v1.Account](a.store.View(), t.AccountUUID); account != nil {
		if err := model.CheckTokenQuota(account, used[t.AccountUUID]); err != nil {
			return "", err
		}
	}
	return a.tokens.addFor(ctx, c, t)
}

// ofAccounts counts the tokens of each account that lives.
func (s *tokenStore) ofAccounts(ctx context.Context, v *model.View) (map[string]int, error) {
	all, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	n := map[string]int{}
	for _, t := range all {
		if t.AccountUUID != "" && t.lives(v) {
			n[t.AccountUUID]++
		}
	}
	return n, nil
}

// addFor is add for a caller, as long as his own token is not revoked.
func (s *tokenStore) addFor(ctx context.Context, c *Caller, t *token) (secret string, err error) {
	if c.token == nil {
		return s.add(ctx, t)
	}
	value, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encode token: %w", err)
	}
	secret = newSecret()
	ok, err := s.keys.PutWhile(ctx, c.token.entry, tokenPrefix+hashOf(secret), value)
	if err == nil && !ok {
		err = unauthorized()
	}
	return secret, err
}

// revoke removes a token with those that were made with it, and with those. A
// token that is gone makes no others, so that in the end there are none.
func (s *tokenStore) revoke(ctx context.Context, uuid string) (revoked []string, err error) {
	gone := map[string]bool{uuid: true}
	for {
		all, err := s.list(ctx)
		if err != nil {
			return revoked, err
		}
		for more := true; more; {
			more = false
			for _, t := range all {
				if maker := strings.TrimPrefix(t.CreatedBy, tokenCaller); gone[maker] && !gone[t.UUID] {
					gone[t.UUID], more = true, true
				}
			}
		}
		all = slices.DeleteFunc(all, func(t *token) bool { return !gone[t.UUID] })
		if len(all) == 0 {
			return revoked, nil
		}
		if err := s.remove(ctx, all); err != nil {
			return revoked, err
		}
		for _, t := range all {
			revoked = append(revoked, t.UUID)
		}
	}
}

// remove deletes tokens, all at once.
func (s *tokenStore) remove(ctx context.Context, tokens []*token) error {
	var keys []string
	for _, t := range tokens {
		keys = append(keys, t.entry.Key, usedPrefix+t.hash())
	}
	if len(keys) == 0 {
		return nil
	}
	return s.keys.Delete(ctx, keys...)
}

// usedEvery is how exactly the last use is known.
const usedEvery = time.Minute

// used notes that a token is used now, at most once a minute.
func (s *tokenStore) used(ctx context.Context, t *token, now time.Time) error {
	s.mu.Lock()
	last, noted := s.noted[t.hash()]
	stale := !noted || now.Sub(last) >= usedEvery || now.Before(last)
	if stale {
		s.noted[t.hash()] = now
	}
	s.mu.Unlock()
	if !stale {
		return nil
	}
	_, err := s.keys.PutWhile(ctx, t.entry, usedPrefix+t.hash(), []byte(now.UTC().Format(time.RFC3339)))
	return err
}

// forget drops what is remembered of tokens that have not been used lately.
func (s *tokenStore) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for hash, last := range s.noted {
		if now.Sub(last) > time.Hour {
			delete(s.noted, hash)
		}
	}
}

// CreateToken makes a token past all checks and returns its secret.
func CreateToken(ctx context.Context, p *store.Private, t v1.Token) (secret string, err error) {
	if t.UUID == "" {
		t.UUID = model.NewUUID()
	}
	return newTokenStore(p).add(ctx, &token{Token: t})
}

// adminMark says that the first admin token was made, and by its key which.
const adminMark = "admin-token"

// EnsureAdminToken makes the admin token on the first start and writes it to
// path with mode 0600; later it does nothing, also if the file was removed. Of
// several orchestrators that start at once, one makes it. The file is written
// before the mark, so that a crash never leaves a token that nobody knows.
func EnsureAdminToken(ctx context.Context, p *store.Private, path string) error {
	if _, done, err := p.Get(ctx, adminMark); err != nil || done {
		return err
	}
	secret := newSecret()
	if err := writeSecret(path, secret+"\n"); err != nil {
		return fmt.Errorf("write admin token: %w", err)
	}
	key := tokenPrefix + hashOf(secret)
	t := &token{Token: v1.Token{UUID: model.NewUUID(), Name: "admin", Role: v1.RoleAdmin, CreateDate: time.Now().UTC().Truncate(time.Second)}}
	if err := newTokenStore(p).put(ctx, secret, t); err != nil {
		return err
	}
	winner, err := p.PutOnce(ctx, adminMark, []byte(key))
	if err != nil || string(winner) == key {
		return err
	}
	if err := p.Delete(ctx, key); err != nil {
		return err
	}
	return os.Remove(path)
}

// writeSecret writes a file that nobody else can read at any moment, whole or
// not at all, and that is there after a loss of power.
func writeSecret(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // made with 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already after the rename
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
