package agent

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

const self = "0190aaaa-0000-7000-8000-000000000001"

func incoming(gen uint64, fence int64, hostname string) Incoming {
	c := agentv1.Content{Hostname: hostname}
	return Incoming{
		Spec: agentv1.RouterSpec{
			Version: 1, RouterUUID: self, Generation: gen, Fence: fence, Hash: c.Hash(), Content: c,
		},
		ContentHash: c.Hash(),
	}
}

func TestDecide(t *testing.T) {
	hash := func(h string) string { return agentv1.Content{Hostname: h}.Hash() }
	at := Current{RouterUUID: self, Generation: 5, Hash: hash("five"), Fence: 100}
	change := func(in Incoming, f func(*agentv1.RouterSpec)) Incoming { f(&in.Spec); return in }
	for name, tc := range map[string]struct {
		cur     Current
		in      Incoming
		verdict Verdict
		code    string
		fence   int64
	}{
		"first of all":                 {Current{RouterUUID: self}, incoming(1, 7, "a"), Accept, "", 7},
		"first with a high generation": {Current{RouterUUID: self}, incoming(40, 0, "a"), Accept, "", 0},
		"newer":                        {at, incoming(6, 100, "six"), Accept, "", 100},
		"newer, later sender":          {at, incoming(6, 101, "six"), Accept, "", 101},
		"newer, same content":          {at, incoming(6, 100, "five"), Accept, "", 100},
		"the same again":               {at, incoming(5, 100, "five"), Already, "", 100},
		"the same, later sender":       {at, incoming(5, 200, "five"), Already, "", 200},
		"older":                        {at, incoming(4, 100, "four"), Refuse, agentv1.CodeOlderGeneration, 100},
		"older raises the fence":       {at, incoming(4, 300, "four"), Refuse, agentv1.CodeOlderGeneration, 300},
		"other content":                {at, incoming(5, 100, "cinq"), Refuse, agentv1.CodeConflictingContent, 100},
		"lower fence":                  {at, incoming(6, 99, "six"), Refuse, agentv1.CodeLowerFence, 100},
		"lower fence wins over older":  {at, incoming(4, 99, "four"), Refuse, agentv1.CodeLowerFence, 100},
		"other router": {at, change(incoming(6, 999, "six"), func(s *agentv1.RouterSpec) { s.RouterUUID = "other" }),
			Refuse, agentv1.CodeWrongRouter, 100},
		"wrong hash": {at, change(incoming(6, 999, "six"), func(s *agentv1.RouterSpec) { s.Hash = hash("five") }),
			Refuse, agentv1.CodeInvalidSpec, 100},
		"no hash": {at, change(incoming(6, 999, "six"), func(s *agentv1.RouterSpec) { s.Hash = "" }),
			Refuse, agentv1.CodeInvalidSpec, 100},
		"no generation": {Current{RouterUUID: self}, incoming(0, 1, "a"), Refuse, agentv1.CodeInvalidSpec, 0},
		"version too new": {at, change(incoming(6, 999, "six"), func(s *agentv1.RouterSpec) { s.Version = 2 }),
			Refuse, agentv1.CodeUnsupportedVersion, 100},
		"no version": {at, change(incoming(6, 999, "six"), func(s *agentv1.RouterSpec) { s.Version = 0 }),
			Refuse, agentv1.CodeInvalidSpec, 100},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decide(tc.cur, tc.in)
			if d.Verdict != tc.verdict || d.Problem.Code != tc.code || d.Fence != tc.fence {
				t.Fatalf("got %+v, want verdict %v code %q fence %d", d, tc.verdict, tc.code, tc.fence)
			}
			if d.Verdict == Refuse && (d.Problem.Detail == "" || d.Problem.Field == "") {
				t.Fatalf("refused without detail or field: %+v", d.Problem)
			}
		})
	}
}

// Whatever comes in whatever order: generations never fall, fences never fall,
// one generation has one content, and what was accepted is known when it comes
// again.
func TestDecideHoldsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cur := Current{RouterUUID: self}
		contents := map[uint64]string{}
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			in := incoming(rapid.Uint64Range(0, 8).Draw(t, "gen"), rapid.Int64Range(0, 8).Draw(t, "fence"),
				rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "content"))
			if rapid.IntRange(0, 9).Draw(t, "foreign") == 0 {
				in.Spec.RouterUUID = "other"
			}
			d := Decide(cur, in)
			if d.Fence < cur.Fence {
				t.Fatalf("fence fell from %d to %d", cur.Fence, d.Fence)
			}
			if d.Verdict != Refuse && in.Spec.Fence < cur.Fence {
				t.Fatalf("fence %d passed after %d", in.Spec.Fence, cur.Fence)
			}
			if (d.Verdict == Refuse) != (d.Problem.Code != "") {
				t.Fatalf("verdict and problem disagree: %+v", d)
			}
			cur.Fence = d.Fence
			if d.Verdict != Accept {
				continue
			}
			if in.Spec.Generation <= cur.Generation || in.Spec.RouterUUID != self {
				t.Fatalf("accepted %+v over %+v", in.Spec, cur)
			}
			if was, ok := contents[in.Spec.Generation]; ok && was != in.Spec.Hash {
				t.Fatalf("generation %d has two contents", in.Spec.Generation)
			}
			contents[in.Spec.Generation] = in.Spec.Hash
			cur.Generation, cur.Hash = in.Spec.Generation, in.Spec.Hash
			if again := Decide(cur, in); again.Verdict != Already {
				t.Fatalf("a repeat of what was accepted: %+v", again)
			}
		}
	})
}

func TestDecodeReportsUnknownFields(t *testing.T) {
	raw := `{"version":1,"routerUuid":"r","generation":1,"hash":"HASH","fence":0,"later":1,
	 "content":{"hostname":"h","new~/field":{"a":1},"interfaces":[{"name":"eth0","roles":["guest"],"mac":"02:00:00:00:00:01",
	 "addresses":["10.0.0.1/24"],"mtu":1500,"l3NetworkUuid":"n","colour":"red"}],"dhcp":[{"interface":"x","bindings":[{"mac":"m","ip":"10.0.0.2","shoe":44}]}]}}`
	in, err := Decode([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	want := "/content/dhcp/0/bindings/0/shoe /content/interfaces/0/colour /content/new~0~1field /later"
	if got := strings.Join(in.Ignored, " "); got != want {
		t.Fatalf("ignored %s\nwant    %s", got, want)
	}
	if in.Spec.Content.Interfaces[0].MTU != 1500 {
		t.Fatal("known fields beside unknown ones were lost")
	}
}

// A newer sender's hash covers fields that are unknown here.
func TestHashOfAContentWithUnknownFields(t *testing.T) {
	content := `{"hostname":"h","interfaces":null,"zzz":[1,2]}`
	in, err := Decode([]byte(`{"version":1,"content": ` + strings.ReplaceAll(content, ",", ",\n ") + `}`))
	if err != nil {
		t.Fatal(err)
	}
	known, err := Decode([]byte(`{"version":1,"content":{"hostname":"h","interfaces":null}}`))
	if err != nil {
		t.Fatal(err)
	}
	if in.ContentHash == known.ContentHash {
		t.Fatal("the unknown field is not covered")
	}
	compact, err := Decode([]byte(`{"version":1,"content":` + content + `}`))
	if err != nil || compact.ContentHash != in.ContentHash {
		t.Fatalf("white space changes the hash (%v)", err)
	}
	if known.ContentHash != (agentv1.Content{Hostname: "h"}).Hash() || known.Ignored != nil {
		t.Fatalf("plain content: %+v", known)
	}
}

func TestDecodeRefusesWhatIsNoSpec(t *testing.T) {
	for _, raw := range []string{"", "null x", "[]", `{"content":{"interfaces":[{"addresses":["nonsense"]}]}}`,
		`{"generation":-1}`, `{} {}`, `{"version":1`} {
		if in, err := Decode([]byte(raw)); err == nil {
			t.Errorf("%q decoded to %+v", raw, in)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := json.Marshal(incoming(1, 1, "h").Spec)
	f.Add(b)
	f.Add([]byte(`{"content":{"x":[{}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, err := Decode(raw)
		if err != nil {
			return
		}
		if len(in.ContentHash) != 64 {
			t.Fatalf("hash %q", in.ContentHash)
		}
		Decide(Current{RouterUUID: self}, in)
	})
}
