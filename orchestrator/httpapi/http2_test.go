package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
)

// h2 is a site that is served over HTTPS, and a client that speaks HTTP/2.
type h2 struct {
	*site
	addr   string
	client *http.Client
	tls    *tls.Config
}

func newH2(t *testing.T) *h2 {
	s := newSite(t)
	addr, pool := s.serveTLS()
	c := &tls.Config{RootCAs: pool}
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &h2{s, addr, &http.Client{Transport: transport}, c}
}

func (h *h2) do(method, path string, body io.Reader, header ...string) (*http.Response, error) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, "https://"+h.addr+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+h.token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return h.client.Do(r)
}

// alive: others are answered.
func (h *h2) alive() {
	h.t.Helper()
	resp, err := h.do("GET", "/v1/zones", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
		h.t.Errorf("others get %s over %s", resp.Status, resp.Proto)
	}
}

// TestHTTP2: calls and event streams share a connection; who wants HTTP/1.1 gets
// it; the limits of bodies and headers are the same.
func TestHTTP2(t *testing.T) {
	h := newH2(t)
	h.alive()
	stream, err := h.do("GET", "/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	h.create("/v1/zones", object{"name": "seen"})
	for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), "seen") {
			break
		}
	}
	if resp, err := h.do("POST", "/v1/zones", strings.NewReader(`{"name":"`+strings.Repeat("n", 2<<20)+`"}`), "Content-Type", "application/json"); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a body of 2 MiB: %v %v", resp, err)
	}
	resp, err := h.do("GET", "/v1/zones", nil, "X-Long", strings.Repeat("x", 200<<10))
	if err == nil && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 200 KiB: %s", resp.Status)
	}
	h.alive()
	h.tls.NextProtos = []string{"http/1.1"}
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: h.tls}}
	if status, _ := get(t, old, "https://"+h.addr+"/v1/zones", h.token); status != http.StatusOK {
		t.Errorf("HTTP/1.1: %d", status)
	}
}

// rawClient is a client that writes frames as it likes.
type rawClient struct {
	*http2.Framer
	conn    *tls.Conn
	encoder *hpack.Encoder
	block   bytes.Buffer
	token   string
}

func (h *h2) raw() *rawClient {
	h.t.Helper()
	c := h.tls.Clone()
	c.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", h.addr, c)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	bad := &rawClient{Framer: http2.NewFramer(conn, conn), conn: conn, token: h.token}
	bad.encoder = hpack.NewEncoder(&bad.block)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		h.t.Fatal(err)
	}
	if err := bad.WriteSettings(); err != nil {
		h.t.Fatal(err)
	}
	return bad
}

func (c *rawClient) open(stream uint32, method, path string, end bool) error {
	c.block.Reset()
	for _, f := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "sluice"}, {":path", path}, {"authorization", "Bearer " + c.token}} {
		if err := c.encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.block.Bytes(), EndStream: end, EndHeaders: true})
}

// goaway reads until the server has enough of the client, and says why.
func (c *rawClient) goaway(t *testing.T) (code http2.ErrCode, refused int) {
	t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // of a test that fails
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			t.Fatalf("the connection ended without a word: %v", err)
		}
		switch f := frame.(type) {
		case *http2.RSTStreamFrame:
			if f.ErrCode == http2.ErrCodeRefusedStream {
				refused++
			}
		case *http2.GoAwayFrame:
			return f.ErrCode, refused
		case *http2.PingFrame:
			if f.IsAck() {
				return 0, refused
			}
		}
	}
}

// TestRapidReset: streams that are opened and reset at once do not make more
// calls than a connection may have, and who goes on is cut off; others are
// answered all the time.
func TestRapidReset(t *testing.T) {
	h := newH2(t)
	var running, most atomic.Int32
	leave := make(chan struct{})
	httpapi.Handle(h.api, route("hold", "/v1/hold"), func(context.Context, *struct{}) (*httpapi.Nothing, error) {
		for now, top := running.Add(1), most.Load(); now > top && !most.CompareAndSwap(top, now); top = most.Load() {
		}
		defer running.Add(-1)
		<-leave
		return nil, nil
	})
	t.Cleanup(httpapi.Permit("GET /v1/hold"))
	t.Cleanup(func() { close(leave) })
	bad := h.raw()
	stream := func(n uint32) uint32 { return 2*n + 1 }
	for n := range uint32(100) {
		if err := bad.open(stream(n), "GET", "/v1/hold", true); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(20 * time.Second); running.Load() < 100; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of 100 calls run", running.Load())
		}
	}
	for n := range uint32(3000) {
		if n >= 100 && bad.open(stream(n), "GET", "/v1/hold", true) != nil || bad.WriteRSTStream(stream(n), http2.ErrCodeCancel) != nil {
			break // it is cut off
		}
	}
	if code, _ := bad.goaway(t); code != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("it ends with %v", code)
	}
	h.alive()
	if n := most.Load(); n != 100 {
		t.Errorf("%d calls at once", n)
	}
}

// TestStreamsAreBounded: of many calls at once on one connection those beyond the
// limit are refused, and the others are not disturbed.
func TestStreamsAreBounded(t *testing.T) {
	h := newH2(t)
	bad := h.raw()
	for n := range uint32(150) {
		if err := bad.open(2*n+1, "POST", "/v1/zones", false); err != nil { // whose bodies never come
			t.Fatal(err)
		}
	}
	if err := bad.WritePing(false, [8]byte{}); err != nil {
		t.Fatal(err)
	}
	if _, refused := bad.goaway(t); refused != 50 {
		t.Errorf("%d of 150 streams were refused", refused)
	}
	h.alive()
}

// TestSlowBodyOverHTTP2: a body that does not come ends its call, by the server's
// own deadline, which is shorter here; the connection and others on it go on.
func TestSlowBodyOverHTTP2(t *testing.T) {
	s := newSite(t)
	server := s.api.Server(t.Context())
	if server.ReadTimeout == 0 || server.IdleTimeout == 0 || server.ReadHeaderTimeout == 0 || server.WriteTimeout == 0 {
		t.Fatalf("deadlines are missing: %+v", server)
	}
	server.ReadTimeout = 100 * time.Millisecond
	certificate, pool := selfSigned(t)
	certificate.NextProtos = []string{"h2"}
	l, err := tls.Listen("tcp", "127.0.0.1:0", certificate)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }() // until it is closed
	t.Cleanup(func() { server.Close() })
	config := &tls.Config{RootCAs: pool}
	h := &h2{s, l.Addr().String(), &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}, config}
	slow := h.raw()
	if err := slow.open(1, "POST", "/v1/zones", false); err != nil {
		t.Fatal(err)
	}
	_ = slow.conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // of a test that fails
	for answered := false; !answered; {
		frame, err := slow.ReadFrame()
		if err != nil {
			t.Fatalf("the connection ended: %v", err)
		}
		answered = frame.Header().StreamID == 1
	}
	h.alive()
}

// TestEndlessHeaders: a header that goes on and on in CONTINUATION frames is not
// collected.
func TestEndlessHeaders(t *testing.T) {
	h := newH2(t)
	bad := h.raw()
	bad.block.Reset()
	if err := bad.encoder.WriteField(hpack.HeaderField{Name: ":method", Value: "GET"}); err != nil {
		t.Fatal(err)
	}
	err := bad.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: bad.block.Bytes()})
	sent := 0
	for n := 0; err == nil && n < 10_000; n++ {
		bad.block.Reset()
		if err := bad.encoder.WriteField(hpack.HeaderField{Name: fmt.Sprint("x-", n), Value: strings.Repeat("x", 8000), Sensitive: true}); err != nil {
			t.Fatal(err)
		}
		sent += bad.block.Len()
		err = bad.WriteContinuation(1, false, bad.block.Bytes())
	}
	if err == nil {
		t.Errorf("%d MiB of header were taken", sent>>20)
	}
	h.alive()
}

// TestSlowReaderOverHTTP2: an event stream whose client reads nothing ends, though
// its connection lives.
func TestSlowReaderOverHTTP2(t *testing.T) {
	h := newH2(t)
	h.api.Tune(20*time.Millisecond, 50*time.Millisecond, 8, 100)
	bad := h.raw()
	if err := bad.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 16}); err != nil {
		t.Fatal(err)
	}
	if err := bad.open(1, "GET", "/v1/events", true); err != nil {
		t.Fatal(err)
	}
	_ = bad.conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // of a test that fails
	for {
		frame, err := bad.ReadFrame()
		if err != nil {
			t.Fatalf("the connection ended: %v", err)
		}
		if reset, is := frame.(*http2.RSTStreamFrame); is && reset.StreamID == 1 {
			break
		}
	}
	for end := time.Now().Add(10 * time.Second); h.api.Streams() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(errors.New("the stream holds its place"))
		}
	}
	h.alive()
}
