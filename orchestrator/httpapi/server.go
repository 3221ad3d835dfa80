package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Listen says where to serve; an empty Socket or Addr is left out.
type Listen struct {
	// Socket is the path of the unix socket, made with mode 0600.
	Socket string
	// Addr such as :8743, for HTTPS with TLS.
	Addr string
	TLS  *tls.Config
}

// Timeouts of the server. An answer may take as long as the longest wait.
const (
	headerTimeout   = 10 * time.Second
	readTimeout     = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second
	maxHeader       = 64 << 10 // bytes
)

// Limits of an HTTP/2 connection. Those above hold for each of its streams, and
// a caller's rate for all of his together.
const (
	// maxStreams are open at once. Streams that are reset count until their calls
	// have ended; who opens many beyond is cut off (CVE-2023-44487).
	maxStreams = 100
	// pingAfter is when a silent connection is asked whether anybody is there,
	// and pingTimeout how long the answer may take.
	pingAfter, pingTimeout = 30 * time.Second, 15 * time.Second
	// stuckTimeout is how long the other end may take nothing of what is sent.
	stuckTimeout = 30 * time.Second
)

// Serve serves until the context ends, then lets running calls end. Calls that
// wait for something end at once, with 503.
func (a *API) Serve(ctx context.Context, where Listen) error {
	listeners, err := listen(where)
	if err != nil {
		return err
	}
	return a.serveOn(ctx, listeners)
}

func (a *API) serveOn(ctx context.Context, listeners []net.Listener) error {
	s := a.server(ctx)
	a.follow() // so that clients can resume what came before the first of them
	g, gone := errgroup.WithContext(ctx)
	g.Go(func() error { a.forgetAnswers(gone); return nil })
	g.Go(func() error { a.noteHeads(gone); return nil })
	for _, l := range listeners {
		g.Go(func() error {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	g.Go(func() error {
		<-gone.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			return errors.Join(fmt.Errorf("end running calls: %w", err), s.Close())
		}
		return nil
	})
	return g.Wait()
}

func (a *API) server(ctx context.Context) *http.Server {
	return &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		WriteTimeout: maxWait + readTimeout, MaxHeaderBytes: maxHeader,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: stuckTimeout},
		ErrorLog:    slog.NewLogLogger(a.log.Handler(), slog.LevelDebug), // clients that break off
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: withPeer,
	}
}

func listen(where Listen) (listeners []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
		}
	}()
	if where.Socket != "" {
		l, err := listenUnix(where.Socket)
		if err != nil {
			return listeners, err
		}
		listeners = append(listeners, l)
	}
	if where.Addr != "" {
		if where.TLS == nil {
			return listeners, fmt.Errorf("listen on %s: no TLS configuration", where.Addr)
		}
		c := where.TLS.Clone()
		c.NextProtos = []string{"h2", "http/1.1"}
		l, err := tls.Listen("tcp", where.Addr, c)
		if err != nil {
			return listeners, fmt.Errorf("listen on %s: %w", where.Addr, err)
		}
		listeners = append(listeners, l)
	}
	if len(listeners) == 0 {
		return nil, errors.New("listen: neither a socket nor an address is given")
	}
	return listeners, nil
}

// listenUnix replaces the socket that a killed process left behind, but not
// one that somebody answers on.
func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("listen on %s: another process serves it", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// The moment before is harmless: who calls is asked of the kernel.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), l.Close())
	}
	return l, nil
}

type peerKey struct{}

// withPeer remembers the process at the other end of a unix socket.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *unix.Ucred
	ctlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if ctlErr != nil || err != nil {
		return ctx // nobody: a token is asked for
	}
	return context.WithValue(ctx, peerKey{}, cred)
}

func peerOf(ctx context.Context) (peer *unix.Ucred, ok bool) {
	peer, ok = ctx.Value(peerKey{}).(*unix.Ucred)
	return peer, ok
}

// uidCaller is the id of a caller whom the kernel names.
func uidCaller(peer *unix.Ucred) string { return fmt.Sprintf("uid:%d", peer.Uid) }
