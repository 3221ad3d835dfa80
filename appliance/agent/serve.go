package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// maxConns bounds the connections on the management address; each costs a
// handshake and some 30 kB before its client is known.
const maxConns = 128

// Serve answers on ln until ctx ends, then gives calls under way a moment to
// finish. config is nil for plain HTTP.
func Serve(ctx context.Context, ln net.Listener, config *tls.Config, h http.Handler, log *slog.Logger) error {
	ln = netutil.LimitListener(ln, maxConns)
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	srv := &http.Server{
		Handler:     h,
		BaseContext: func(net.Listener) context.Context { return ctx },
		// Also the time for a TLS handshake.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      applyTimeout + 10*time.Second,
		// Longer than clients keep theirs, so that it is never we who close a
		// connection on which a request is just coming.
		IdleTimeout:    5 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stopped := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close()
		}
	})
	defer stopped()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
