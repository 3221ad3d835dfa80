package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// entry is an object as somebody wants it: a noun and what is said about it,
// in the words of the flags of create. create makes one of its flags, apply
// one of each item of a file.
type entry struct {
	noun *noun
	name string
	// said has a string, or a list of strings and of objects of strings.
	said object
	line int // in the file
}

// words is a list said under a key; one text is a list of one.
func (e entry) words(key string) []string {
	switch said := e.said[key].(type) {
	case string:
		return []string{said}
	case []any:
		out := make([]string, 0, len(said))
		for _, item := range said {
			out = append(out, fmt.Sprint(item))
		}
		return out
	}
	return nil
}

func (e entry) text(key string) string {
	said, _ := e.said[key].(string)
	return said
}

// check finds what is wrong about an entry without asking the server.
func (e entry) check() error {
	for _, f := range e.noun.fields {
		if _, said := e.said[f.flag]; !said {
			if f.must {
				return fmt.Errorf("%q is missing: %s", f.flag, f.help)
			}
			continue
		}
		if f.ref == "" {
			if _, err := e.value(f); err != nil {
				return err
			}
		} else if e.text(f.flag) == "" {
			return fmt.Errorf("%q: want a name or a UUID", f.flag)
		}
	}
	for _, key := range []string{"cidr", "gateway", "description", "uuid", routerIPWord} {
		if said := e.said[key]; said != nil && e.text(key) == "" {
			return fmt.Errorf("%q: want one text", key)
		}
	}
	if _, err := serviceTypes(e.words("services")); err != nil {
		return err
	}
	if _, err := settingSteps(e, object{}, ""); err != nil {
		return err
	}
	if _, err := e.nics(); err != nil {
		return err
	}
	if e.noun.name == "vm-instance" && e.said["nics"] == nil {
		return errors.New("its nics are missing: the L3 networks that it is on")
	}
	if state := e.text("state"); e.said["state"] != nil && stateActions[state] == "" {
		return fmt.Errorf("state %q: want Running or Stopped", state)
	}
	return nil
}

// value turns what is said about a plain field into what the request wants.
func (e entry) value(f field) (any, error) {
	if f.kind == list {
		return e.words(f.flag), nil
	}
	said, ok := e.said[f.flag].(string)
	if !ok {
		return nil, fmt.Errorf("%q: want one value, not a list", f.flag)
	}
	switch f.kind {
	case number:
		i, err := strconv.ParseInt(said, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is %q: want a number", f.flag, said)
		}
		return i, nil
	case truth:
		b, err := strconv.ParseBool(said)
		if err != nil {
			return nil, fmt.Errorf("%q is %q: want true or false", f.flag, said)
		}
		return b, nil
	}
	return said, nil
}

// body is the create request of an entry, names resolved.
func (s *session) body(ctx context.Context, e entry) (object, error) {
	body := object{"name": e.name}
	for _, f := range e.noun.fields {
		if _, said := e.said[f.flag]; !said {
			continue
		}
		var err error
		if f.ref == "" {
			body[f.json], err = e.value(f)
		} else {
			body[f.json], err = s.resolve(ctx, nounByName(f.ref), e.text(f.flag))
		}
		if err != nil {
			return nil, err
		}
	}
	put(body, "uuid", e.text("uuid"))
	put(body, "description", e.text("description"))
	if tags := e.words("tags"); len(tags) > 0 {
		body["systemTags"] = tags
	}
	if e.noun.name == "vm-instance" {
		nics, err := s.resolvedNics(ctx, e)
		if err != nil {
			return nil, err
		}
		body["nics"] = nics
	}
	return body, nil
}

func put(o object, key, value string) {
	if value != "" {
		o[key] = value
	}
}

// nicWords are what can be said about a nic.
var nicWords = []string{"l3", "ip", "mac", routeWord}

// nics reads what is said about nics: a name of an L3 network,
// l3=NAME,ip=ADDRESS,mac=MAC,routes=PREFIX=NEXTHOP, or an object of these words.
func (e entry) nics() ([]map[string]string, error) {
	items, ok := e.said["nics"].([]any)
	if said, text := e.said["nics"].(string); text {
		items, ok = []any{said}, true
	}
	if !ok {
		return nil, nil
	}
	nics := make([]map[string]string, 0, len(items))
	for _, item := range items {
		nic, err := parseNic(item)
		if err != nil {
			return nil, err
		}
		nics = append(nics, nic)
	}
	return nics, nil
}

func parseNic(item any) (map[string]string, error) {
	nic := map[string]string{}
	switch item := item.(type) {
	case object:
		for key, value := range item {
			nic[key] = strings.Join(entry{said: item}.words(key), " ")
			if _, deep := value.(object); deep {
				return nil, fmt.Errorf("nic %s: %q: want a text", cell(item), key)
			}
		}
	default:
		said := fmt.Sprint(item)
		if !strings.Contains(said, "=") {
			return map[string]string{"l3": said}, nil
		}
		for part := range strings.SplitSeq(said, ",") {
			key, value, _ := strings.Cut(part, "=")
			nic[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	for key := range nic {
		if !slices.Contains(nicWords, key) {
			return nil, fmt.Errorf("nic %s: %q is none of %s", cell(item), key, strings.Join(nicWords, ", "))
		}
	}
	if nic["l3"] == "" {
		return nil, fmt.Errorf("nic %s: say its L3 network with l3", cell(item))
	}
	_, err := nicRoutes(nic)
	return nic, err
}

func (s *session) resolvedNics(ctx context.Context, e entry) ([]object, error) {
	said, err := e.nics()
	if err != nil {
		return nil, err
	}
	nics := make([]object, 0, len(said))
	for i, words := range said {
		id, err := s.resolve(ctx, nounByName("l3-network"), words["l3"])
		if err != nil {
			return nil, err
		}
		nic := object{"l3NetworkUuid": id, "isDefault": i == 0}
		put(nic, "ip", words["ip"])
		put(nic, "mac", words["mac"])
		if _, said := words[routeWord]; said {
			nic["staticRoutes"], _ = nicRoutes(words) // were read before
		}
		nics = append(nics, nic)
	}
	return nics, nil
}

// serviceNames are the service types as users write them, in any case.
var serviceNames = map[string]string{
	"dhcp": "DHCP", "dns": "DNS", "snat": "SNAT", "eip": "EIP", "portforwarding": "PortForwarding", "port-forwarding": "PortForwarding",
}

func serviceTypes(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		t, ok := serviceNames[strings.ToLower(strings.TrimSpace(name))]
		if !ok {
			return nil, fmt.Errorf("service %q: want dhcp, dns, snat, eip or portforwarding", name)
		}
		out = append(out, t)
	}
	return out, nil
}

// stateActions lead to the states that a VM can be said to be in.
var stateActions = map[string]string{"Running": "start", "Stopped": "stop"}
