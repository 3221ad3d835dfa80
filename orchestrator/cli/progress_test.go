package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

func TestProgressOnATerminalIsOneLine(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	p.width = 40
	p.show([]stage{{"vr-a", "Creating"}})
	p.show([]stage{{"vr-a", "Running, Connecting \x1b[2J" + strings.Repeat("x", 100)}})
	p.end()
	lines := strings.Split(b.String(), "\r\x1b[K")
	if len(lines) != 4 || lines[0] != "" || lines[1] != "0s vr-a: Creating" || lines[3] != "" {
		t.Fatalf("%q", lines)
	}
	if n := utf8.RuneCountInString(lines[2]); n >= 40 || strings.ContainsAny(lines[2], "\x1b\n") {
		t.Errorf("%d columns of 40: %q", n, lines[2])
	}
}

func TestProgressElsewhereIsALineForEachChange(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	for _, text := range []string{"Creating", "Creating", "serving"} {
		p.show([]stage{{"vr-a", text}, {"vr-b", "serving"}})
	}
	p.end()
	if want := "vr-a: Creating\nvr-b: serving\nvr-a: serving\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestStageOf(t *testing.T) {
	done := v1.Condition{Type: "Boot", Status: v1.True, DurationMs: 2500}
	for _, c := range []struct {
		router v1.VirtualRouter
		want   string
	}{
		{v1.VirtualRouter{State: v1.StateCreating, Status: v1.Connecting}, "Creating"},
		{v1.VirtualRouter{State: v1.StateRunning, Status: v1.Connecting, Conditions: []v1.Condition{done}}, "Running, Connecting (Boot 2.5s)"},
		{v1.VirtualRouter{State: v1.StateRunning, Conditions: []v1.Condition{done, {Type: v1.ReadyCondition, Status: v1.True}}}, "serving"},
		{v1.VirtualRouter{State: v1.StateCreating, Conditions: []v1.Condition{{Type: v1.ReadyCondition, Status: v1.False}, {Type: "Domain", Status: v1.False, Message: "no memory"}}}, "Domain failed, it is tried again: no memory"},
	} {
		if got := stageOf(&c.router).text; got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// Every kind of resource can be reached from the command line.
func TestEveryKindIsANoun(t *testing.T) {
	for _, k := range model.Kinds() {
		if n := nounByName(k.Noun()); n == nil || n.path != k.String() {
			t.Errorf("%s (%s) is no noun", k.Noun(), k)
		}
	}
}

// Every field that the table names is one of the API's.
func TestFieldsAreOfTheAPI(t *testing.T) {
	requests := map[string]any{
		"account": v1.CreateAccount{}, "zone": v1.CreateZone{}, "cluster": &v1.CreateCluster{}, "host": &v1.CreateHost{}, "l2-network": &v1.CreateL2Network{}, "l3-network": &v1.CreateL3Network{},
		"image": &v1.CreateImage{}, "virtual-router-offering": &v1.CreateVirtualRouterOffering{}, "vm-instance": &v1.CreateVMInstance{},
		"vip": &v1.CreateVIP{}, "eip": &v1.CreateEIP{}, "port-forwarding-rule": &v1.CreatePortForwardingRule{}, "ip-range": &v1.AddIPRange{},
	}
	for i := range nouns {
		n := &nouns[i]
		if n.derived {
			continue
		}
		request, ok := requests[n.name]
		if !ok {
			t.Errorf("%s: the test does not know its request", n.name)
			continue
		}
		for _, f := range n.fields {
			if n.name == "ip-range" && f.flag == "l3" { // in the path
				continue
			}
			value := map[kind]any{text: "", number: 1, truth: true, list: []string{}}[f.kind]
			body, err := json.Marshal(object{f.json: value})
			if err != nil {
				t.Fatal(err)
			}
			dec := json.NewDecoder(bytes.NewReader(body))
			dec.DisallowUnknownFields()
			if err := dec.Decode(request); err != nil && strings.Contains(err.Error(), "unknown field") {
				t.Errorf("%s --%s: %v", n.name, f.flag, err)
			}
		}
	}
}
