package agent

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// withEIPs is a spec with EIPs of these names.
func withEIPs(generation uint64, names ...string) agentv1.RouterSpec {
	s := incoming(generation, 1, "r").Spec
	for i, name := range names {
		s.Content.EIPs = append(s.Content.EIPs, agentv1.EIP{UUID: name, VIP: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})})
	}
	s.Content.Sort()
	s.Hash = s.Content.Hash()
	return s
}

func changeOf(t *testing.T, was, is agentv1.RouterSpec) []byte {
	t.Helper()
	difference, ok := was.Content.Difference(is.Content)
	if !ok {
		t.Fatal("more differs than a change can say")
	}
	return encoded(t, agentv1.SpecChange{Version: 1, RouterUUID: self, Generation: is.Generation, Fence: 1,
		BaseHash: was.Hash, Hash: is.Hash, Change: difference})
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAChangeIsAppliedAsOne(t *testing.T) {
	h, f := api(t, true, Tools{})
	first, second := withEIPs(1, "a", "b"), withEIPs(2, "a", "c")
	change := changeOf(t, first, second)
	if w := do(h, "PATCH", "/v1/spec", change); w.Code != http.StatusConflict || code(t, w) != agentv1.CodeOtherBase {
		t.Errorf("a change of nothing: HTTP %d %s", w.Code, w.Body)
	}
	if w := do(h, "PUT", "/v1/spec", encoded(t, first)); w.Code != http.StatusOK {
		t.Fatalf("HTTP %d %s", w.Code, w.Body)
	}
	for _, body := range [][]byte{change, change, zipped(t, change)} { // again is fine
		header := []string{}
		if bytes.HasPrefix(body, []byte{0x1f}) {
			header = []string{"Content-Encoding", "gzip"}
		}
		w := do(h, "PATCH", "/v1/spec", body, header...)
		var s agentv1.RouterStatus
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != http.StatusOK || s.AppliedHash != second.Hash || s.AppliedGeneration != 2 {
			t.Fatalf("HTTP %d %s", w.Code, w.Body)
		}
		if s.Leases != nil || s.Interfaces != nil || s.Traffic != nil {
			t.Errorf("an answer with lists: %s", w.Body)
		}
	}
	if len(f.changes) != 1 || f.changes[0].Len() != 2 {
		t.Errorf("the router was asked for %+v", f.changes)
	}
	var got agentv1.RouterSpec
	if err := json.Unmarshal(do(h, "GET", "/v1/spec", nil).Body.Bytes(), &got); err != nil || got.Content.Hash() != second.Hash || got.Generation != 2 {
		t.Errorf("spec %+v, %v", got, err)
	}
	if s := do(h, "GET", agentv1.PathBrief, nil).Body.String(); strings.Contains(s, `"leases"`) || strings.Contains(s, `"traffic"`) || !strings.Contains(s, `"appliedHash"`) {
		t.Errorf("brief status: %.300s", s)
	}
	if s := do(h, "GET", "/v1/status", nil).Body.String(); !strings.Contains(s, `"leases"`) || !strings.Contains(s, `"traffic"`) {
		t.Errorf("status without lists: %s", s)
	}
}

func TestAChangeThatIsRefusedChangesNothing(t *testing.T) {
	h, f := api(t, true, Tools{})
	first := withEIPs(1, "a")
	if w := do(h, "PUT", "/v1/spec", encoded(t, first)); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	good := string(changeOf(t, first, withEIPs(2, "a", "b")))
	for name, tc := range map[string]struct {
		body        string
		code, field string
	}{
		"unknown field":         {strings.Replace(good, `"version"`, `"later":1,"version"`, 1), agentv1.CodeOtherBase, "/baseHash"},
		"unknown entry field":   {strings.Replace(good, `"uuid":"b"`, `"uuid":"b","later":1`, 1), agentv1.CodeOtherBase, "/baseHash"},
		"field":                 {string(changeOf(t, first, withEIPs(2, "a", "invalid"))), agentv1.CodeInvalidSpec, "/change/eips/add/0/uuid"},
		"not there":             {string(changeOf(t, withEIPs(1, "z"), withEIPs(2, "a"))), agentv1.CodeOtherBase, "/baseHash"},
		"wrong hash":            {strings.Replace(good, `"uuid":"b"`, `"uuid":"c"`, 1), agentv1.CodeInvalidSpec, "/hash"},
		"newer version":         {strings.Replace(good, `"version":1`, `"version":9`, 1), agentv1.CodeUnsupportedVersion, "/version"},
		"removes what is not":   {lying(t, first), agentv1.CodeInvalidSpec, "/change"},
		"not even a change":     {"hello", agentv1.CodeInvalidSpec, ""},
		"generation is missing": {strings.Replace(good, `"generation":2`, `"generation":0`, 1), agentv1.CodeInvalidSpec, "/generation"},
	} {
		w := do(h, "PATCH", "/v1/spec", []byte(tc.body))
		var p agentv1.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Code != tc.code || p.Field != tc.field || w.Code < 400 {
			t.Errorf("%s: HTTP %d %s", name, w.Code, w.Body)
		}
	}
	if len(f.changes) != 0 || len(f.eips) != 1 {
		t.Errorf("changes %+v, EIPs %v", f.changes, f.eips)
	}
	if w := do(h, "PATCH", "/v1/spec", []byte(good)); w.Code != http.StatusOK {
		t.Errorf("a good one afterwards: HTTP %d %s", w.Code, w.Body)
	}
}

// lying removes an EIP that is not there, with the hash that this would give.
func lying(t *testing.T, first agentv1.RouterSpec) string {
	ch := agentv1.Change{EIPs: agentv1.Edit[agentv1.EIP]{Remove: []agentv1.EIP{{UUID: "none"}}}}
	return string(encoded(t, agentv1.SpecChange{Version: 1, RouterUUID: self, Generation: 2, Fence: 1,
		BaseHash: first.Hash, Hash: first.Content.Digest().Changed(ch).String(), Change: ch}))
}

func TestNothingIsBuiltOnIgnoredFields(t *testing.T) {
	h, _ := api(t, true, Tools{})
	first := withEIPs(1, "a")
	body := bytes.Replace(encoded(t, first), []byte(`{"version"`), []byte(`{"tomorrow":{},"version"`), 1)
	if w := do(h, "PUT", "/v1/spec", body); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	if w := do(h, "PATCH", "/v1/spec", changeOf(t, first, withEIPs(2, "b"))); code(t, w) != agentv1.CodeOtherBase {
		t.Errorf("HTTP %d %s", w.Code, w.Body)
	}
}

// TestChangesOutliveTheAgent: thousands of them, over new bases of the ledger.
func TestChangesOutliveTheAgent(t *testing.T) {
	dir, f := t.TempDir(), &fakeRouter{}
	a := newAgent(t, dir, f, time.Hour)
	stop := start(t, a)
	last := withEIPs(1, "a")
	if _, err := a.Put(t.Context(), encoded(t, last)); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(300) {
		next := withEIPs(2+i, strings.Repeat("x", int(i)+1))
		if s, err := a.Patch(t.Context(), changeOf(t, last, next)); err != nil || s.AppliedHash != next.Hash {
			t.Fatalf("change %d: %+v, %v", i, s, err)
		}
		last = next
	}
	stop()
	g := &fakeRouter{}
	b := newAgent(t, dir, g, time.Hour)
	start(t, b)
	if err := b.Settled(t.Context()); err != nil || b.Accepted().Hash != last.Hash || len(g.eips) != 1 || g.eips[0] != last.Content.EIPs[0] {
		t.Fatalf("accepted %+v, EIPs %v, %v", b.Accepted(), g.eips, err)
	}
	next := withEIPs(last.Generation+1, "z")
	if s, err := b.Patch(t.Context(), changeOf(t, last, next)); err != nil || s.AppliedHash != next.Hash {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestChangesWhileOneIsApplied are applied together, and after a failure the
// whole is.
func TestChangesWhileOneIsApplied(t *testing.T) {
	f := &fakeRouter{}
	a := newAgent(t, t.TempDir(), f, time.Hour)
	start(t, a)
	specs := []agentv1.RouterSpec{withEIPs(1, "a"), withEIPs(2, "b"), withEIPs(3, "b", "c"), withEIPs(4, "d"), withEIPs(5, "e")}
	if _, err := a.Put(t.Context(), encoded(t, specs[0])); err != nil {
		t.Fatal(err)
	}
	hold, entered := make(chan struct{}), make(chan struct{}, 9)
	f.set(func(f *fakeRouter) { f.hold, f.entered = hold, entered })
	for i := 1; i < 4; i++ {
		if _, err := a.offerChange(changeOf(t, specs[i-1], specs[i])); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			<-entered
		}
	}
	close(hold)
	if err := a.Settled(t.Context()); err != nil || len(f.changes) != 2 || len(f.eips) != 1 || f.eips[0].UUID != "d" {
		t.Fatalf("changes %+v, EIPs %v, %v", f.changes, f.eips, err)
	}
	f.set(func(f *fakeRouter) { f.broken = http.ErrBodyNotAllowed })
	if s, err := a.Patch(t.Context(), changeOf(t, specs[3], specs[4])); err != nil || s.AppliedGeneration != 4 || s.AcceptedGeneration != 5 {
		t.Fatalf("%+v, %v", s, err)
	}
	f.set(func(f *fakeRouter) { f.broken = nil })
	if s, err := a.Resync(t.Context()); err != nil || s.AppliedGeneration != 5 || len(f.changes) != 3 {
		t.Fatalf("%+v, %v, changes %+v", s, err, f.changes)
	}
}
