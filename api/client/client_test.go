package client_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// serve is a server over TLS and a client that trusts it.
func serve(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{Server: server.URL + "/", Token: "secret", CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestListReadsAllPages(t *testing.T) {
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("token: %v", r.Header)
		}
		next := map[string]string{"": `,"next":"2"`, "2": `,"next":"3"`, "3": ""}[r.URL.Query().Get("cursor")]
		_, _ = w.Write([]byte(`{"items":[{"size":123456789012345678}]` + next + `}`))
	})
	items, err := client.List[map[string]any](t.Context(), c, "/v1/images", map[string][]string{"name": {"a&b"}})
	if err != nil || len(items) != 3 || items[0]["size"] != json.Number("123456789012345678") {
		t.Fatalf("%v %v", items, err)
	}
	want := []string{"/v1/images?name=a%26b", "/v1/images?cursor=2&name=a%26b", "/v1/images?cursor=3&name=a%26b"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func TestRefusals(t *testing.T) {
	refusal, err := json.Marshal(v1.Conflict("in-use", "zone is in use").On("u1"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		status int
		body   string
		code   string
	}{
		"a problem":   {409, string(refusal), "in-use"},
		"a proxy":     {502, "<html>bad gateway", "unexpected-answer"},
		"no code":     {500, `{"detail":"x"}`, "unexpected-answer"},
		"a redirect":  {302, "", "unexpected-answer"},
		"not a value": {200, "hello", ""},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			api := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				calls++
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			var out map[string]any
			err := api.Do(t.Context(), http.MethodPost, "/v1/zones", map[string]string{"name": "z"}, &out)
			if err == nil || v1.Code(err) != c.code {
				t.Errorf("got %v, want code %q", err, c.code)
			}
			if calls != 1 {
				t.Errorf("%d calls: a redirect was followed", calls)
			}
		})
	}
}

func TestNothingIsFineAsAnAnswer(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	var out map[string]any
	if err := c.Do(t.Context(), http.MethodDelete, "/v1/zones/u", nil, &out); err != nil || out != nil {
		t.Error(out, err)
	}
}

func TestWhyThereIsNoAnswer(t *testing.T) {
	c, err := client.New(client.Config{Server: "unix://" + filepath.Join(t.TempDir(), "none.sock")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), http.MethodGet, "/v1/zones", nil, nil); err == nil || !strings.Contains(err.Error(), "start it with `sluice server`") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = c.Do(ctx, http.MethodPost, "/v1/zones", nil, nil)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "look whether it took effect") {
		t.Error(err)
	}
}

func TestAStrangeServerIsNotTrusted(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the token was sent") }))
	defer server.Close()
	c, err := client.New(client.Config{Server: server.URL, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), http.MethodGet, "/v1/zones", nil, nil); err == nil {
		t.Error("no error")
	}
}

func TestConfigIsChecked(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []client.Config{
		{Server: ""}, {Server: "http://h:80"}, {Server: "h:80"}, {Server: "https://h\x7f"},
		{Server: "https://h", CAFile: empty}, {Server: "https://h", CAFile: empty + "none"},
	} {
		if _, err := client.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
