package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// maxBody is the longest request body, in bytes.
const maxBody = 1 << 20

func (a *API) newEngine() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	// Nobody's X-Forwarded-For is believed. nil cannot fail.
	_ = e.SetTrustedProxies(nil)
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false
	e.Use(identify, a.observe(), a.recover, a.auditRefusals, a.authenticate, a.limit, a.authorize, a.checkQuery, a.audited, a.idempotent)
	e.NoRoute(func(c *gin.Context) {
		refuse(c, v1.Errorf(http.StatusNotFound, "no-such-path", "there is no %s; see /docs", shorten(c.Request.URL.Path)))
	})
	e.NoMethod(func(c *gin.Context) {
		refuse(c, v1.Errorf(http.StatusMethodNotAllowed, "method-not-allowed", "%s is not for %s; see /docs", c.Request.Method, shorten(c.Request.URL.Path)))
	})
	return e
}

type requestIDKey struct{}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

var plainID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// identify gives each request an id, the caller's own if it is harmless in a
// log, and bounds the body.
func identify(c *gin.Context) {
	id := c.GetHeader("X-Request-Id")
	if !plainID.MatchString(id) {
		id = uuid.NewString()
	}
	c.Header("X-Request-Id", id)
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), requestIDKey{}, id))
	if c.Request.Body != nil {
		// One byte more than huma's limit, so that it is huma who finds out.
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody+1)
	}
}

// observe logs each request at debug level and counts it.
func (a *API) observe() gin.HandlerFunc {
	seconds := a.requestSeconds()
	return func(c *gin.Context) {
		began := time.Now()
		c.Next()
		took, status := time.Since(began), c.Writer.Status()
		seconds(c.Request.Method, c.FullPath(), status, took)
		if !a.log.Enabled(c.Request.Context(), slog.LevelDebug) {
			return
		}
		a.log.Debug("request", "request", requestID(c.Request.Context()), "method", c.Request.Method,
			"path", c.Request.URL.Path, "status", status, "took", took, "bytes", c.Writer.Size(),
			"caller", callerOf(c.Request.Context()).ID)
	}
}

// recover answers a panic with 500 and keeps the process.
func (a *API) recover(c *gin.Context) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		id := requestID(c.Request.Context())
		a.log.Error("call panicked", "request", id, "path", c.Request.URL.Path, "panic", cause, "stack", string(debug.Stack()))
		if c.Writer.Written() {
			panic(http.ErrAbortHandler) // half an answer must not look whole
		}
		refuse(c, internal(id))
	}()
	c.Next()
}
