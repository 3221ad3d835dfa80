// Package client speaks the northbound API: over the unix socket on the
// orchestrator's own machine, or over HTTPS with a token.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Client calls one orchestrator. It is safe for concurrent use.
type Client struct {
	server string // as it was named
	base   string
	token  string
	http   *http.Client
}

// Config says how to reach the orchestrator.
type Config struct {
	// Server is unix:///path or https://host:port.
	Server string
	// Token is the bearer token; not needed on the unix socket.
	Token string
	// CAFile verifies the server (PEM); empty: the system's roots.
	CAFile string
}

// answerLimit bounds what is read of one answer, in bytes.
const answerLimit = 256 << 20

// New makes a client; nothing is dialled yet.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.Server)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w", c.Server, err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}
	out := &Client{server: c.Server, base: strings.TrimSuffix(c.Server, "/"), token: c.Token, http: &http.Client{
		Transport: transport,
		// A token is for the server that was named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	switch u.Scheme {
	case "unix":
		out.base = "http://sluice"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", u.Path)
		}
	case "https":
		pool, err := roots(c.CAFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	default:
		return nil, fmt.Errorf("server %q: want unix:///path or https://host:port", c.Server)
	}
	return out, nil
}

func roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil // the system's
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA %s: no certificate in it", file)
	}
	return pool, nil
}

// Do makes one call. body is sent as JSON unless nil; the answer is decoded
// into out unless nil. A refusal is a *v1.Error.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	return c.call(ctx, method, path, nil, body, out)
}

// Change is a PATCH of a resource that has to be at a revision still; if it is
// not, the refusal has status 412.
func (c *Client) Change(ctx context.Context, path, revision string, patch, out any) error {
	return c.call(ctx, http.MethodPatch, path, http.Header{"If-Match": {`"` + revision + `"`}}, patch, out)
}

func (c *Client) call(ctx context.Context, method, path string, header http.Header, body, out any) error {
	resp, err := c.send(ctx, method, path, header, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	reader := io.LimitReader(resp.Body, answerLimit)
	if resp.StatusCode >= 300 { // the API redirects nobody
		return problem(resp, reader)
	}
	switch dst := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*dst, err = io.ReadAll(reader)
	default:
		dec := json.NewDecoder(reader)
		dec.UseNumber() // values without a type keep all their digits
		err = dec.Decode(out)
		if errors.Is(err, io.EOF) { // 204
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: read answer: %w", method, path, err)
	}
	return nil
}

// Save makes a POST and writes the answer, of whatever length, as it comes.
func (c *Client) Save(ctx context.Context, path string, to io.Writer) error {
	resp, err := c.send(ctx, http.MethodPost, path, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return problem(resp, io.LimitReader(resp.Body, answerLimit))
	}
	if _, err := io.Copy(to, resp.Body); err != nil {
		return fmt.Errorf("%s %s: save answer: %w", http.MethodPost, path, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, header http.Header, body any) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		reader = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.do(req)
}

func (c *Client) do(req *http.Request) (*http.Response, error) {
	ctx, method, path := req.Context(), req.Method, req.URL.RequestURI()
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	switch {
	case err == nil:
		return resp, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s %s: interrupted: %w; look whether it took effect", method, path, ctx.Err())
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("reach the orchestrator: %w; its socket is for root: use sudo, or --server https://... with --token-file", err)
	}
	var network *net.OpError
	if errors.As(err, &network) { // without the URL and the address, which are said once
		err = network.Err
	}
	return nil, fmt.Errorf("reach the orchestrator at %s: %w; start it with `sluice server`, or say where it listens with --server or SLUICE_SERVER", c.server, err)
}

func problem(resp *http.Response, body io.Reader) error {
	e := &v1.Error{}
	b, _ := io.ReadAll(body)
	if json.Unmarshal(b, e) != nil || e.Code == "" {
		return v1.Errorf(resp.StatusCode, "unexpected-answer", "the server answered %s: %.200s", resp.Status, b)
	}
	e.Status = resp.StatusCode
	return e
}

// List reads all items below a path, page by page.
func List[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	all := []T{}
	if query == nil {
		query = url.Values{}
	}
	for {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		full := path
		if len(query) > 0 {
			full += "?" + query.Encode()
		}
		if err := c.Do(ctx, http.MethodGet, full, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		query.Set("cursor", page.Next)
	}
}
