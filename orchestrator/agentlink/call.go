package agentlink

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

const (
	// maxAnswer bounds an answer: a status with 10,000 leases is 2 MB.
	maxAnswer = 16 << 20
	// gzipFrom is the size from which compressing costs less than sending.
	gzipFrom = 8 << 10
)

// request is one call of an agent.
type request struct {
	method, path string
	// body is sent as JSON; nil for none.
	body any
	// key is the idempotency key; empty for none.
	key string
	// timeout ends the call.
	timeout time.Duration
}

// call sends a request and parses the answer into out (may be nil). It returns
// the session's state for what has to be known about the peer.
func call(ctx context.Context, c *http.Client, t Target, r request, out any) (*tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := r.http(ctx, t)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return resp.TLS, err
	}
	if resp.StatusCode != http.StatusOK {
		return resp.TLS, refusal(resp.StatusCode, raw)
	}
	return resp.TLS, parse(raw, out)
}

// rawText as out takes an answer that is no JSON.
type rawText string

func parse(raw []byte, out any) error {
	if out == nil {
		return nil
	}
	if text, ok := out.(*rawText); ok {
		*text = rawText(raw)
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("parse answer: %w", err)
	}
	return nil
}

func (r request) http(ctx context.Context, t Target) (*http.Request, error) {
	raw, err := r.encode()
	if err != nil {
		return nil, err
	}
	zipped := len(raw) >= gzipFrom
	if zipped {
		raw = compress(raw)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "https://"+t.Addr.String()+r.path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if zipped {
		req.Header.Set("Content-Encoding", "gzip")
	}
	// All calls are idempotent by contract. The empty header is not sent; it
	// tells net/http to redial and repeat when the kept connection turns out to
	// be dead, which is what a rebuilt router's looks like.
	req.Header["X-Idempotency-Key"] = nil
	if r.key != "" {
		req.Header.Set(agentv1.IdempotencyHeader, r.key)
	}
	return req, nil
}

func (r request) encode() ([]byte, error) {
	if r.body == nil {
		return nil, nil
	}
	raw, err := json.Marshal(r.body)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return raw, nil
}

func compress(raw []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // a valid level
	_, _ = z.Write(raw)                             // into memory
	_ = z.Close()
	return b.Bytes()
}

func refusal(status int, raw []byte) error {
	e := &RefusedError{Status: status}
	if json.Unmarshal(raw, &e.Problem) != nil || e.Problem.Code == "" {
		e.Problem = agentv1.Problem{
			Code:   agentv1.CodeInternal,
			Detail: fmt.Sprintf("HTTP %d without a problem: %.200q", status, raw),
		}
	}
	return e
}
