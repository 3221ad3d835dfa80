package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan/placement"
)

// Preview is what would come of a Tx that began on before: to objects, and to
// routers.
func Preview(before *model.View, tx *model.Tx, services []Service) v1.Plan {
	p := v1.Plan{Changes: []v1.PlannedChange{}, Routers: []v1.PlannedRouter{}}
	written := map[string]bool{}
	for key, r := range tx.Writes() {
		was := before.Any(key.Kind, key.UUID)
		if was == nil && r == nil {
			continue // made and dropped again
		}
		if c := changeOf(tx.View, key, was, r); c.Change != "changed" || len(c.Fields) > 0 {
			p.Changes = append(p.Changes, c)
			written[key.UUID] = true
		}
	}
	for _, uuid := range routersOf(before, tx.View) {
		was, will := model.Get[v1.VirtualRouter](before, uuid), model.Get[v1.VirtualRouter](tx.View, uuid)
		r, differs := previewRouter(before, tx.View, was, will, services)
		if differs || written[uuid] {
			p.Routers = append(p.Routers, r)
		}
	}
	return p
}

func changeOf(v *model.View, key model.Key, was, will v1.Resource) v1.PlannedChange {
	c := v1.PlannedChange{Kind: key.Kind.String(), UUID: key.UUID}
	switch {
	case will == nil:
		c.Change, c.Name = "deleted", was.GetMeta().Name
		return c
	case was == nil:
		c.Change = "created"
	default:
		c.Change, c.Fields = "changed", fieldChanges(was, will)
	}
	c.Name, c.Resource = will.GetMeta().Name, whole(v, will)
	return c
}

// whole is a resource as it is answered, with what is stored elsewhere.
func whole(v *model.View, r v1.Resource) any {
	switch r := r.(type) {
	case *v1.L3Network:
		return model.WithRanges(v, r)
	case *v1.VMInstance:
		return model.WithNics(v, r)
	}
	return r
}

// bookkeeping are fields that change with every write, and those that only tell
// why another one did.
var bookkeeping = []string{"conditions", "lastOpDate", "revision"}

func fieldChanges(was, will v1.Resource) []v1.PlannedField {
	a, b := asObject(was), asObject(will)
	all := maps.Clone(a)
	maps.Copy(all, b)
	var changes []v1.PlannedField
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(bookkeeping, name) && !reflect.DeepEqual(a[name], b[name]) {
			changes = append(changes, v1.PlannedField{Field: name, From: a[name], To: b[name]})
		}
	}
	return changes
}

// asObject is a value as its JSON says.
func asObject(v any) map[string]any {
	b, err := json.Marshal(v)
	if err != nil { // plain data: cannot fail
		panic("plan: marshal: " + err.Error())
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber() // 1e19 is no float
	var o map[string]any
	if err := dec.Decode(&o); err != nil {
		panic("plan: unmarshal: " + err.Error())
	}
	return o
}

// routersOf are the UUIDs of the routers in either view.
func routersOf(before, after *model.View) []string {
	all := map[string]bool{}
	for _, v := range []*model.View{before, after} {
		for r := range model.List[v1.VirtualRouter](v) {
			all[r.UUID] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// previewRouter compares what a router is to do; nil: there is none.
func previewRouter(before, after *model.View, was, will *v1.VirtualRouter, services []Service) (p v1.PlannedRouter, differs bool) {
	old, _, _ := wanted(before, was, services)
	rows, hash, err := wanted(after, will, services)
	if will == nil {
		will = model.Copy(was)
		will.WantedState = v1.StateDestroyed
	}
	p = v1.PlannedRouter{UUID: will.UUID, Name: will.Name, Rows: compare(old, rows)}
	if err != nil {
		p.Error = err.Error()
	}
	o := assumed(after, will)
	for _, a := range Next(will, hash, o) {
		p.Actions = append(p.Actions, string(a))
	}
	return p, len(p.Rows) > 0 || was != nil && assumed(before, was).HostUsable != o.HostUsable
}

// wanted is a router's configuration in rows, none if it is not to run.
func wanted(v *model.View, r *v1.VirtualRouter, services []Service) (all []string, hash string, err error) {
	if r == nil || r.WantedState != v1.StateRunning {
		return nil, "", nil
	}
	c, err := Content(v, r, services)
	if err != nil {
		return nil, "", err
	}
	return rows(asObject(c)), c.Hash(), nil
}

// assumed is what is to be seen of a router whose row tells the truth.
func assumed(v *model.View, r *v1.VirtualRouter) Observed {
	o := Observed{HostUsable: r.HostUUID != "" && !placement.MustMove(v, r), Domain: hypervisor.Absent, Agent: AgentSilent, AppliedHash: r.AppliedHash}
	switch r.State {
	case v1.StateRunning:
		o.Domain = hypervisor.Running
	case v1.StateStopped:
		o.Domain = hypervisor.Stopped
	}
	if r.Status == v1.Connected {
		o.Agent = AgentReady
	}
	return o
}

// rows are a configuration in lines: each object is one, with its plain fields
// on it and the lists within it below its path.
func rows(o map[string]any) []string { return rowsAt("router", o) }

func rowsAt(path string, o map[string]any) (all []string) {
	line := path + ":"
	var below []string
	for _, key := range slices.Sorted(maps.Keys(o)) {
		inner := strings.TrimPrefix(path+"/"+key, "router/")
		switch v := o[key].(type) {
		case map[string]any:
			below = append(below, rowsAt(inner, v)...)
		case []any:
			if plain := texts(v); plain != "" {
				line += " " + key + "=" + plain
			}
			for _, e := range v {
				if e, ok := e.(map[string]any); ok {
					below = append(below, rowsAt(inner, e)...)
				}
			}
		default:
			line += fmt.Sprintf(" %s=%v", key, v)
		}
	}
	if line != path+":" {
		all = append(all, line)
	}
	return append(all, below...)
}

// texts are the plain values of a list.
func texts(list []any) (joined string) {
	for _, e := range list {
		if _, object := e.(map[string]any); object {
			continue
		}
		if joined != "" {
			joined += ","
		}
		joined += fmt.Sprint(e)
	}
	return joined
}

// compare marks the rows that go with - and those that come with +, in order.
func compare(was, will []string) []string {
	var out []string
	for _, side := range []struct {
		sign      string
		of, other []string
	}{{"- ", was, will}, {"+ ", will, was}} {
		left := map[string]int{}
		for _, row := range side.other {
			left[row]++
		}
		for _, row := range side.of {
			if left[row]--; left[row] < 0 {
				out = append(out, side.sign+row)
			}
		}
	}
	return out
}
