package agentlink

import (
	"context"
	"fmt"
	"net/http"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// PushSpec sends the whole spec and returns what the router really reached:
// where AppliedGeneration is below spec.Generation, Services say why, and the
// agent keeps trying. Pushing what is applied already costs a round trip.
func (l *Link) PushSpec(ctx context.Context, t Target, spec agentv1.RouterSpec) (agentv1.RouterStatus, error) {
	var s agentv1.RouterStatus
	err := l.do(ctx, t, request{method: http.MethodPut, path: agentv1.PathSpec, body: spec, timeout: pushTimeout}, &s)
	if err != nil {
		return s, fmt.Errorf("push spec %d to router %s at %s: %w", spec.Generation, t.RouterUUID, t.Addr, err)
	}
	return s, nil
}

// PushChange sends what has become another since the spec that the router has
// accepted, and returns as PushSpec does. A router with another spec, or with an
// agent that takes no changes, refuses it; NeedsWhole says so.
func (l *Link) PushChange(ctx context.Context, t Target, change agentv1.SpecChange) (agentv1.RouterStatus, error) {
	var s agentv1.RouterStatus
	err := l.do(ctx, t, request{method: http.MethodPatch, path: agentv1.PathSpec, body: change, timeout: pushTimeout}, &s)
	if err != nil {
		return s, fmt.Errorf("push change %d to router %s at %s: %w", change.Generation, t.RouterUUID, t.Addr, err)
	}
	return s, nil
}

// Status reads how the router is now.
func (l *Link) Status(ctx context.Context, t Target) (agentv1.RouterStatus, error) {
	return l.status(ctx, t, agentv1.PathStatus)
}

// Brief is Status without the lists that grow with the router, for those who ask
// often.
func (l *Link) Brief(ctx context.Context, t Target) (agentv1.RouterStatus, error) {
	return l.status(ctx, t, agentv1.PathBrief)
}

func (l *Link) status(ctx context.Context, t Target, path string) (agentv1.RouterStatus, error) {
	var s agentv1.RouterStatus
	err := l.do(ctx, t, request{method: http.MethodGet, path: path, timeout: callTimeout}, &s)
	if err != nil {
		return s, fmt.Errorf("read status of router %s at %s: %w", t.RouterUUID, t.Addr, err)
	}
	return s, nil
}

// Spec reads the last spec that the router accepted; a refusal with
// agentv1.CodeNotFound where there is none.
func (l *Link) Spec(ctx context.Context, t Target) (agentv1.RouterSpec, error) {
	var s agentv1.RouterSpec
	err := l.do(ctx, t, request{method: http.MethodGet, path: agentv1.PathSpec, timeout: callTimeout}, &s)
	if err != nil {
		return s, fmt.Errorf("read spec of router %s at %s: %w", t.RouterUUID, t.Addr, err)
	}
	return s, nil
}

// Command runs a command of agentv1 with its arguments (nil: none) and parses
// the answer into result (nil: dropped). A repeat under the same key, on the
// same boot of the agent, returns the first answer and has no effect.
func (l *Link) Command(ctx context.Context, t Target, name, key string, args, result any) error {
	r := request{
		method: http.MethodPost, path: agentv1.PathCommands + name, body: args, key: key, timeout: commandTimeout,
	}
	if err := l.do(ctx, t, r, result); err != nil {
		return fmt.Errorf("command %s of router %s at %s: %w", name, t.RouterUUID, t.Addr, err)
	}
	return nil
}

// do makes a call over the kept connection. A certificate that is due is
// renewed on the way; should that fail, the call itself was still made.
func (l *Link) do(ctx context.Context, t Target, r request, out any) error {
	session, err := call(ctx, l.peer(t), t, r, out)
	if IsExpired(err) {
		if err := l.Renew(ctx, t); err != nil {
			return err
		}
		_, err = call(ctx, l.peer(t), t, r, out)
		return err
	}
	if err == nil && renewalDue(session, l.now()) {
		_ = l.Renew(ctx, t) // there are hours left, and the next call tries again
	}
	return err
}

// Metrics reads the agent's metrics in the Prometheus text format.
func (l *Link) Metrics(ctx context.Context, t Target) (string, error) {
	var text rawText
	err := l.do(ctx, t, request{method: http.MethodGet, path: agentv1.PathMetrics, timeout: callTimeout}, &text)
	if err != nil {
		return "", fmt.Errorf("read metrics of router %s at %s: %w", t.RouterUUID, t.Addr, err)
	}
	return string(text), nil
}
