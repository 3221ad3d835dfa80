package cli

import (
	"context"
	"net/http"
	"strconv"
	"strings"
)

// create makes an object and returns it as the server has it.
func (s *session) create(ctx context.Context, n *noun, body object) (object, error) {
	var o object
	path := "/v1/" + n.path
	if n.name == "host" {
		path += "?wait=60s" // a host is of no use before it is connected
	}
	err := s.api.Do(ctx, http.MethodPost, path, body, &o)
	return o, err
}

// value turns a flag's text into what the request wants.
func (s *session) value(ctx context.Context, f field, textValue string) (any, error) {
	if f.ref != "" {
		return s.resolve(ctx, nounByName(f.ref), textValue)
	}
	switch f.kind {
	case number:
		i, err := strconv.Atoi(textValue)
		if err != nil {
			return nil, usagef("--%s %q: want a number", f.flag, textValue)
		}
		return i, nil
	case truth:
		b, err := strconv.ParseBool(textValue)
		if err != nil {
			return nil, usagef("--%s %q: want true or false", f.flag, textValue)
		}
		return b, nil
	case list:
		return strings.Split(textValue, ","), nil
	}
	return textValue, nil
}

// parseNics reads --nic: an L3 network, or l3=NAME,ip=ADDRESS,mac=MAC.
func (s *session) parseNics(ctx context.Context, specs []string) ([]object, error) {
	var nics []object
	for i, spec := range specs {
		nic := object{"isDefault": i == 0}
		l3 := spec
		if strings.Contains(spec, "=") {
			l3 = ""
			for part := range strings.SplitSeq(spec, ",") {
				key, value, _ := strings.Cut(part, "=")
				switch key {
				case "l3":
					l3 = value
				case "ip", "mac":
					nic[key] = value
				default:
					return nil, usagef("--nic %q: %q is none of l3, ip, mac", spec, key)
				}
			}
		}
		id, err := s.resolve(ctx, nounByName("l3-network"), l3)
		if err != nil {
			return nil, err
		}
		nic["l3NetworkUuid"] = id
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
		t, ok := serviceNames[strings.ToLower(name)]
		if !ok {
			return nil, usagef("service %q: want dhcp, dns, snat, eip or portforwarding", name)
		}
		out = append(out, t)
	}
	return out, nil
}

// finishL3 adds range and services to a new L3 network, and takes it back if
// that is refused: a command makes all of it or nothing.
func (s *session) finishL3(ctx context.Context, l3 object, cidr, gateway string, services []string) (object, error) {
	path := "/v1/l3-networks/" + l3["uuid"].(string)
	err := s.extendL3(ctx, path, l3["name"].(string), cidr, gateway, services)
	if err != nil {
		_ = s.api.Do(ctx, http.MethodDelete, path, nil, nil)
		return nil, err
	}
	var o object
	err = s.api.Do(ctx, http.MethodGet, path, nil, &o)
	return o, err
}

func (s *session) extendL3(ctx context.Context, path, name, cidr, gateway string, services []string) error {
	types, err := serviceTypes(services)
	if err != nil {
		return err
	}
	if cidr != "" {
		body := object{"name": name, "networkCidr": cidr}
		put(body, "gateway", gateway)
		if err := s.api.Do(ctx, http.MethodPost, path+"/ip-ranges", body, nil); err != nil {
			return err
		}
	}
	if len(types) == 0 {
		return nil
	}
	return s.api.Do(ctx, http.MethodPost, path+"/network-services", object{"networkServices": object{"VirtualRouter": types}}, nil)
}
