package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// told is one event as it arrived; comments and bare ids have no type.
type told struct {
	id, what, comment string
	data              struct {
		v1.Event
		Resource object `json:"resource"`
	}
}

func (e told) String() string { return e.what + " " + e.data.Kind + " " + e.data.Name }

// listener reads a stream.
type listener struct {
	t     testing.TB
	body  io.ReadCloser
	lines *bufio.Reader
}

func (s *site) listen(c *http.Client, url, last string) *listener {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := c.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(resp.Body)
		s.t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, b)
	}
	return &listener{s.t, resp.Body, bufio.NewReader(resp.Body)}
}

// block is the next event or place.
func (l *listener) block() (e told, err error) {
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return e, nil
		}
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.what = value
		case "":
			e.comment = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.data); err != nil {
				return e, err
			}
		}
	}
}

// next is the next event.
func (l *listener) next() told {
	l.t.Helper()
	for {
		e, err := l.block()
		if err != nil {
			l.t.Fatal(err)
		}
		if e.what != "" {
			return e
		}
	}
}

func (l *listener) want(all ...string) (last told) {
	l.t.Helper()
	for _, want := range all {
		if last = l.next(); last.String() != want {
			l.t.Fatalf("event %q, want %q", last, want)
		}
	}
	return last
}

// events is the URL of a test server's stream.
func (s *site) events(query string) string {
	server := httptest.NewServer(s.api.Handler())
	s.t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server.URL + "/v1/events" + query
}

func TestEventsInOrder(t *testing.T) {
	s := newSite(t)
	url := s.events("")
	l := s.listen(http.DefaultClient, url, "")
	place, err := l.block()
	if err != nil || place.comment == "" || place.id == "" {
		t.Fatalf("the stream begins with %+v, %v", place, err)
	}
	zone := s.ok("POST", "/v1/zones", object{"name": "z"})
	cluster := s.create("/v1/clusters", object{"name": "c", "zoneUuid": zone.str("uuid")})
	s.ok("PATCH", "/v1/zones/"+zone.str("uuid"), object{"name": "Z"})
	s.ok("DELETE", "/v1/clusters/"+cluster, nil)
	first := l.want("created zones z")
	if first.data.UUID != zone.str("uuid") || first.data.Revision != int64(zone.object["revision"].(float64)) || first.data.Resource["state"] != v1.Enabled ||
		first.id != fmt.Sprintf("%d-0", first.data.Revision) {
		t.Errorf("%+v of %s", first, zone.raw)
	}
	l.want("created clusters c", "changed zones Z")
	if gone := l.want("deleted clusters c"); gone.data.Resource != nil || gone.data.UUID != cluster {
		t.Errorf("%+v", gone)
	}
	for _, last := range []string{first.id, place.id} {
		again := s.listen(http.DefaultClient, url, last)
		if last == place.id {
			again.want("created zones z")
		}
		again.want("created clusters c", "changed zones Z", "deleted clusters c")
	}
}

// TestEventsOfOneCommit: several changes have one revision, and a client may
// have seen a part of them.
func TestEventsOfOneCommit(t *testing.T) {
	s := newSite(t)
	url := s.events("")
	l := s.listen(http.DefaultClient, url, "")
	_, err := s.store.Update(t.Context(), func(tx *model.Tx) error {
		for i := range 600 {
			if _, err := model.CreateZone(tx, v1.CreateZone{CreateMeta: v1.CreateMeta{Name: fmt.Sprint(i)}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 600 {
		e := l.want(fmt.Sprint("created zones ", i))
		if e.id != fmt.Sprintf("%d-%d", e.data.Revision, i) {
			t.Fatalf("id %s of number %d", e.id, i)
		}
		ids = append(ids, e.id)
	}
	s.listen(http.DefaultClient, url, ids[299]).want("created zones 300")
}

func TestEventsFiltered(t *testing.T) {
	s := newSite(t)
	url := s.events("")
	zone := s.create("/v1/zones", object{"name": "z"})
	kinds := s.listen(http.DefaultClient, url+"?kind=cluster&kind=l2-networks", "")
	one := s.listen(http.DefaultClient, url+"?uuid="+zone, "")
	s.create("/v1/clusters", object{"name": "c", "zoneUuid": zone})
	s.create("/v1/zones", object{"name": "other"})
	s.create("/v1/l2-networks", object{"name": "n", "zoneUuid": zone, "physicalInterface": "eth1"})
	s.ok("PATCH", "/v1/zones/"+zone, object{"name": "Z"})
	kinds.want("created clusters c", "created l2-networks n")
	one.want("changed zones Z")
	s.refused(400, "unknown-resource-type", "GET", "/v1/events?kind=moons", nil)
	s.refused(400, "invalid-last-event-id", "GET", "/v1/events", nil, "Last-Event-ID", "x")
	s.refused(400, "invalid-last-event-id", "GET", "/v1/events", nil, "Last-Event-ID", "-1-2")
}

// TestEventsReset: who asks for what is forgotten, not known here or from
// before the process began is told to list again, and then hears what is new.
func TestEventsReset(t *testing.T) {
	s := newSite(t)
	s.api.Tune(time.Second, time.Second, 10, 3)
	url := s.events("")
	old := s.listen(http.DefaultClient, url, "")
	var ids []told
	for i := range 5 { // read one at a time: three are kept
		s.create("/v1/zones", object{"name": fmt.Sprint(i)})
		ids = append(ids, old.want(fmt.Sprint("created zones ", i)))
	}
	second := ids[1]
	s.listen(http.DefaultClient, url, second.id).want("created zones 2")
	restarted := s.restart()
	behind := restarted.events("")
	restarted.listen(http.DefaultClient, behind, "").block()
	for at, last := range map[string][]string{
		url:    {"1", fmt.Sprintf("%d-0", second.data.Revision-1), "999999999"},
		behind: {second.id, "5-0"},
	} {
		for _, last := range last {
			l := s.listen(http.DefaultClient, at, last)
			reset := l.next()
			if reset.what != v1.EventReset || reset.data.Revision != s.store.View().Revision {
				t.Errorf("after %s: %+v", last, reset)
			}
			s.create("/v1/zones", object{"name": "new"})
			after := l.want("created zones new")
			if after.data.Revision <= reset.data.Revision {
				t.Errorf("%+v after %+v", after, reset)
			}
		}
	}
}

// TestStreamsOfAnAccountAreLimited: it cannot take the streams of all others.
func TestStreamsOfAnAccountAreLimited(t *testing.T) {
	m := newManor(t)
	m.api.Tune(time.Minute, time.Second, 8, 100)
	path := filepath.Join(t.TempDir(), "s")
	m.serve(httpapi.Listen{Socket: path})
	red, blue := m.with(m.token["red"]), m.with(m.token["blue"])
	first := red.listen(unixClient(path), "http://sluice/v1/events", "")
	red.listen(unixClient(path), "http://sluice/v1/events", "")
	red.refused(503, "too-many-streams", "GET", "/v1/events", nil)
	blue.listen(unixClient(path), "http://sluice/v1/events", "")
	m.listen(unixClient(path), "http://sluice/v1/events", "")
	first.body.Close()
	for began := time.Now(); m.api.Streams() > 3; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 5*time.Second {
			t.Fatal("a stream that was closed keeps its place")
		}
	}
	red.listen(unixClient(path), "http://sluice/v1/events", "")
}

// TestSlowClientIsDropped: it holds up neither writers nor other readers.
func TestSlowClientIsDropped(t *testing.T) {
	s := newSite(t)
	s.api.Tune(50*time.Millisecond, 300*time.Millisecond, 2, 10_000)
	path := filepath.Join(t.TempDir(), "s")
	s.serve(httpapi.Listen{Socket: path})
	c := unixClient(path)
	slow := s.listen(c, "http://sluice/v1/events", "") // never read
	quick := s.listen(c, "http://sluice/v1/events?kind=clusters", "")
	s.refused(503, "too-many-streams", "GET", "/v1/events", nil)
	text := strings.Repeat("x", 2000)
	var zone string
	for range 2000 { // 4 MB: more than a socket holds
		zone = s.create("/v1/zones", object{"name": "z", "description": text})
	}
	s.create("/v1/clusters", object{"name": "c", "zoneUuid": zone})
	quick.want("created clusters c")
	for began := time.Now(); s.api.Streams() > 1; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 5*time.Second {
			t.Fatal("the slow client is still served")
		}
	}
	n, err := io.Copy(io.Discard, slow.lines)
	if err == nil || n > 3<<20 {
		t.Errorf("the slow client read %d bytes, then %v", n, err)
	}
}

func TestEventsBeatAndEnd(t *testing.T) {
	s := newSite(t)
	s.api.Tune(20*time.Millisecond, time.Second, 10, 10)
	path := filepath.Join(t.TempDir(), "s")
	stop := s.serve(httpapi.Listen{Socket: path})
	c := unixClient(path)
	l := s.listen(c, "http://sluice/v1/events?kind=hosts", "")
	s.create("/v1/zones", object{"name": "z"}) // nothing for this stream, but its place goes on
	want := fmt.Sprint(s.store.View().Revision)
	for place := (told{}); place.comment != "still here" || place.id != want; {
		var err error
		if place, err = l.block(); err != nil {
			t.Fatal(err)
		}
	}
	token := s.token
	var err error
	if s.token, err = httpapi.CreateToken(t.Context(), s.store.Private(), v1.Token{Name: "reader", Role: v1.RoleReadOnly}); err != nil {
		t.Fatal(err)
	}
	reader := s.listen(c, "http://sluice/v1/events", "")
	tokens, err := s.store.Private().Keys(t.Context(), "tokens/", "tokens0")
	if err != nil {
		t.Fatal(err)
	}
	s.token = token
	for _, key := range tokens {
		if b, _, _ := s.store.Private().Get(t.Context(), key); strings.Contains(string(b), "reader") {
			if err := s.store.Private().Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := io.Copy(io.Discard, reader.lines); err != nil {
		t.Errorf("the stream of a revoked token ends with %v", err)
	}
	began := time.Now()
	if err := stop(); err != nil || time.Since(began) > 2*time.Second {
		t.Errorf("the server ends after %v with %v", time.Since(began), err)
	}
	if _, err := io.Copy(io.Discard, l.lines); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
	if s.api.Streams() != 0 {
		t.Errorf("%d streams are left", s.api.Streams())
	}
}
