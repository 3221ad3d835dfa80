package libvirt

import (
	"context"
	"errors"
	"fmt"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
)

// withStream runs fn on a connection of its own, opened and closed here. It ends
// with ctx or after StreamTimeout, whichever is sooner.
func (h *Host) withStream(ctx context.Context, call string, fn func(*wire) error) error {
	ctx, cancel := context.WithTimeout(ctx, h.config.StreamTimeout)
	defer cancel()
	conn, err := h.target.dial(ctx)
	if err != nil {
		return h.target.unreachable(call, err)
	}
	defer conn.Close()
	// A deadline in the past ends reads and writes that are under way.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	w := &wire{conn: conn}
	if err = w.open(string(h.target.uri)); err == nil {
		err = fn(w)
	}
	return h.explainStream(ctx, call, err)
}

func (h *Host) explainStream(ctx context.Context, call string, err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[golibvirt.Error](err); ok {
		return fmt.Errorf("%s on host %s: %w", call, h.target.host, classify(answer))
	}
	if errors.Is(err, errContent) {
		return fmt.Errorf("%s: %w", call, err)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return h.target.unreachable(call, fmt.Errorf("%w within %v", errNoAnswer, h.config.StreamTimeout))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s on host %s: %w", call, h.target.host, ctx.Err())
	}
	return h.target.unreachable(call, err)
}
