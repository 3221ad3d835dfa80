package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// Caller is who makes a request.
type Caller struct {
	Name string `json:"name"`
	// Role is RoleAdmin or RoleReadOnly.
	Role string `json:"role"`
}

// The roles.
const (
	RoleAdmin    = "admin"
	RoleReadOnly = "read-only"
)

type callerKey struct{}

// callerOf is the zero Caller while nobody is known.
func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// open paths tell nothing about the site.
var open = map[string]bool{"/healthz": true, "/readyz": true, "/version": true, "/openapi.json": true, "/docs": true}

// authenticate finds the caller: on the unix socket the kernel's word, else the
// bearer token.
func (a *API) authenticate(c *gin.Context) {
	ctx := c.Request.Context()
	caller, err := a.identifyCaller(ctx, c.GetHeader("Authorization"))
	if err == nil {
		c.Request = c.Request.WithContext(context.WithValue(ctx, callerKey{}, caller))
	}
	switch {
	case open[c.Request.URL.Path]:
	case err != nil:
		e := a.problem(ctx, err)
		if e.Status == http.StatusUnauthorized {
			c.Header("WWW-Authenticate", `Bearer realm="sluice"`)
		}
		refuse(c, (*v1.Error)(e))
	case caller.Role != RoleAdmin && c.Request.Method != http.MethodGet && c.Request.Method != http.MethodHead:
		refuse(c, v1.Errorf(http.StatusForbidden, "forbidden", "%s may only read; use an admin's token", caller.Name))
	}
}

var tokenShape = regexp.MustCompile(`^sluice_[A-Za-z0-9_-]{43}$`)

func (a *API) identifyCaller(ctx context.Context, header string) (Caller, error) {
	if uid, ok := peerOf(ctx); ok && uid == 0 && header == "" {
		return Caller{Name: "root", Role: RoleAdmin}, nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || !tokenShape.MatchString(token) {
		return Caller{}, unauthorized()
	}
	stored, found, err := a.store.Private().Get(ctx, tokenKey(token))
	if err != nil {
		return Caller{}, v1.Unavailable("store-unavailable", "the token cannot be looked up; retry").Because(err)
	}
	if !found {
		return Caller{}, unauthorized()
	}
	var caller Caller
	if err := json.Unmarshal(stored, &caller); err != nil {
		return Caller{}, fmt.Errorf("decode token record: %w", err)
	}
	return caller, nil
}

func unauthorized() *v1.Error {
	return v1.Errorf(http.StatusUnauthorized, "unauthorized", "send a valid token as Authorization: Bearer ..., or use the unix socket as root")
}

// tokenKey is where a token's record is. Only the hash is stored: tokens are
// 256 random bits, so it needs no salt and cannot be searched for.
func tokenKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "tokens/" + hex.EncodeToString(sum[:])
}

// CreateToken makes a token for a caller and stores its hash.
func CreateToken(ctx context.Context, p *store.Private, caller Caller) (token string, err error) {
	token = newToken()
	return token, storeToken(ctx, p, token, caller)
}

func newToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return "sluice_" + base64.RawURLEncoding.EncodeToString(b[:])
}

func storeToken(ctx context.Context, p *store.Private, token string, caller Caller) error {
	record, err := json.Marshal(caller)
	if err != nil {
		return fmt.Errorf("encode token record: %w", err)
	}
	return p.Put(ctx, tokenKey(token), record)
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
	token := newToken()
	if err := writeSecret(path, token+"\n"); err != nil {
		return fmt.Errorf("write admin token: %w", err)
	}
	if err := storeToken(ctx, p, token, Caller{Name: "admin", Role: RoleAdmin}); err != nil {
		return err
	}
	winner, err := p.PutOnce(ctx, adminMark, []byte(tokenKey(token)))
	if err != nil || string(winner) == tokenKey(token) {
		return err
	}
	if err := p.Delete(ctx, tokenKey(token)); err != nil {
		return err
	}
	return os.Remove(path)
}

// writeSecret writes a file that nobody else can read at any moment, whole or
// not at all.
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
	return os.Rename(f.Name(), path)
}
