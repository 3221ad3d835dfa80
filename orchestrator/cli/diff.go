package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// differences are the steps from what is to what was said; an error names a
// difference that cannot be mended in place.
func (a *applying) differences(ctx context.Context, e entry, o object) ([]step, error) {
	path := "/v1/" + e.noun.path + "/" + fmt.Sprint(o["uuid"])
	body, err := a.body(ctx, e)
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, f := range e.noun.fields {
		want, said := body[f.json]
		if !said || equal(want, o[f.json]) {
			continue
		}
		mend := mending(e, f, o[f.json], want, path)
		if mend == nil {
			return nil, a.unmendable(ctx, f, e, o[f.json])
		}
		steps = append(steps, mend...)
	}
	if want, said := body["description"]; said && want != o["description"] {
		steps = append(steps, step{"description", http.MethodPatch, path, object{"description": want}})
	}
	for _, tag := range e.words("tags") {
		if !slices.Contains(texts(o["systemTags"]), tag) {
			steps = append(steps, step{"tag " + tag, http.MethodPost, "/v1/system-tags", object{"resourceType": e.noun.path, "resourceUuid": o["uuid"], "tag": tag}})
		}
	}
	more, err := a.partDifferences(ctx, e, o, path)
	return append(steps, more...), err
}

// mending are the calls that bring a field in line, for those that have some.
func mending(e entry, f field, have, want any, path string) []step {
	switch f.json {
	case "dns":
		return []step{{fmt.Sprintf("dns %s -> %s", cell(have), cell(want)), http.MethodPut, path + "/dns", object{"dns": want}}}
	case "allocationStrategy":
		return []step{{fmt.Sprintf("allocation strategy %s -> %s", cell(have), cell(want)), http.MethodPut, path + "/allocation-strategy", object{"allocationStrategy": want}}}
	case "dnsTlsName":
		return []step{{fmt.Sprintf("dns over TLS as %s -> %s", cell(have), cell(want)), http.MethodPut, path + "/dns-tls", object{"dnsTlsName": want}}}
	case "mtu":
		return []step{{fmt.Sprintf("mtu %s -> %s", cell(have), cell(want)), http.MethodPut, path + "/mtu", object{"mtu": want}}}
	case "vmNicUuid":
		attach := step{"attach to " + e.text(f.flag), http.MethodPost, path + "/vm-nics/" + url.PathEscape(fmt.Sprint(want)) + e.noun.settled(), nil}
		if have == nil || have == "" {
			return []step{attach}
		}
		return []step{{"detach", http.MethodDelete, path + "/vm-nics" + e.noun.settled(), nil}, attach}
	case "isDefault":
		if want == true {
			return []step{{"make it the default", http.MethodPost, path + "/actions", object{"action": "make-default"}}}
		}
	}
	return nil
}

func (a *applying) unmendable(ctx context.Context, f field, e entry, have any) error {
	is := cell(have)
	if f.ref != "" && have != nil {
		is = a.nameOf(ctx, nounByName(f.ref), fmt.Sprint(have))
	}
	return cannotChange(f.flag, is, strings.Join(e.words(f.flag), ","))
}

func cannotChange(what, is, should string) error {
	return fmt.Errorf("%s is %s and should be %s: that cannot be changed in place; delete the object, or correct the file", what, is, should)
}

// partDifferences are about what stands beside the fields.
func (a *applying) partDifferences(ctx context.Context, e entry, o object, path string) ([]step, error) {
	switch e.noun.name {
	case "l2-network", "l3-network":
		return a.completing(ctx, e, o)
	case "vm-instance":
		if err := a.checkNics(ctx, e, o); err != nil {
			return nil, err
		}
		steps, err := a.routeSteps(ctx, e, o)
		return append(steps, a.stateSteps(e, o, path)...), err
	}
	return nil, nil
}

func (s *session) clusterSteps(ctx context.Context, e entry, o object, path string) ([]step, error) {
	var steps []step
	for _, cluster := range e.words("clusters") {
		id, err := s.resolve(ctx, nounByName("cluster"), cluster)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(texts(o["attachedClusterUuids"]), id) {
			steps = append(steps, step{"attach to cluster " + cluster, http.MethodPost, path + "/clusters/" + url.PathEscape(id), nil})
		}
	}
	return steps, nil
}

// rangeSteps give a network without ranges its own.
func rangeSteps(e entry, o object, path string) ([]step, error) {
	cidr, gateway := e.text("cidr"), e.text("gateway")
	ranges, _ := o["ipRanges"].([]any)
	if len(ranges) == 0 {
		if cidr == "" {
			return nil, nil
		}
		body := object{"name": e.name, "networkCidr": cidr}
		put(body, "gateway", gateway)
		return []step{{"add range " + cidr, http.MethodPost, path + "/ip-ranges", body}}, nil
	}
	// All ranges of a network share both.
	if have := cell(at(ranges[0], "networkCidr")); cidr != "" && canonical(cidr) != have {
		return nil, cannotChange("cidr", have, cidr)
	}
	if have := cell(at(ranges[0], "gateway")); gateway != "" && gateway != have {
		return nil, cannotChange("gateway", have, gateway)
	}
	return nil, nil
}

// canonical is a prefix as the server writes it.
func canonical(cidr string) string {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return cidr // the server says what is wrong
	}
	return p.Masked().String()
}

func serviceSteps(e entry, o object, path string) ([]step, error) {
	types, err := serviceTypes(e.words("services"))
	if err != nil {
		return nil, err
	}
	have := texts(at(o["networkServices"], "VirtualRouter"))
	types = slices.DeleteFunc(types, func(t string) bool { return slices.Contains(have, t) })
	if len(types) == 0 {
		return nil, nil
	}
	return []step{{"attach services " + strings.Join(types, ","), http.MethodPost, path + "/network-services", object{"networkServices": object{"VirtualRouter": types}}}}, nil
}

// checkNics holds the nics of a VM against those that were said, in order.
func (a *applying) checkNics(ctx context.Context, e entry, o object) error {
	said, err := a.resolvedNics(ctx, e)
	if err != nil {
		return err
	}
	have, _ := o["nics"].([]any)
	if len(said) != len(have) {
		return cannotChange("number of nics", fmt.Sprint(len(have)), fmt.Sprint(len(said)))
	}
	for i, nic := range said {
		for key, want := range nic {
			if is := at(have[i], key); key != "isDefault" && key != "staticRoutes" && !strings.EqualFold(fmt.Sprint(want), cell(is)) {
				return cannotChange(fmt.Sprintf("nic %d: %s", i, key), cell(is), fmt.Sprint(want))
			}
		}
	}
	return nil
}

func (a *applying) stateSteps(e entry, o object, path string) []step {
	state := e.text("state")
	if state == "" || o["state"] == state {
		return nil
	}
	action := stateActions[state]
	return []step{{action, http.MethodPost, path + "/actions?wait=" + url.QueryEscape(a.wait), object{"action": action}}}
}

// equal compares what a file and the server say.
func equal(want, have any) bool {
	if list, ok := want.([]string); ok {
		want = anys(list)
	}
	return cell(want) == cell(have)
}

// texts are a list of strings that came as JSON.
func texts(v any) []string {
	items, _ := v.([]any)
	out := make([]string, 0, len(items))
	for _, item := range items {
		out = append(out, fmt.Sprint(item))
	}
	return out
}
