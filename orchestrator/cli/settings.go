package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"
)

// wholeSetting is a list of an L3 network that is set as a whole, by a PUT
// below its path. Commands, files and export write an item as one text.
type wholeSetting struct {
	word        string // of files, and of the verb set-WORD
	json, below string
	args, help  string
	// read makes the value of a request of texts; write makes texts of it.
	read  func([]string) (any, error)
	write func(any) []string
	// inside: the value has to lie inside the network's ranges' subnet.
	inside bool
}

var wholeSettings = []wholeSetting{
	{
		word: "host-routes", json: "hostRoutes", below: "/host-routes", args: "[PREFIX=NEXTHOP...]", help: "set the static routes of the guests; of a System network, the routers' ways to orchestrators off it",
		read: pairs("=", "prefix", "nexthop"), write: writePairs("=", "prefix", "nexthop"),
	},
	{
		word: "dns-records", json: "dnsRecords", below: "/dns-records", args: "[NAME=ADDRESS...]", help: "set the names that it has beside its guests' host names",
		read: readRecords, write: writeRecords,
	},
	{
		word: "dhcp-relays", json: "dhcpRelays", below: "/dhcp-relays", args: "[ADDRESS...]", help: "set the DHCP relay agents that are answered, by their giaddr",
		read: func(said []string) (any, error) { return orNone(said), nil }, write: texts,
	},
	{
		word: "reserved-ranges", json: "reservedRanges", below: "/reserved-ranges", args: "[FIRST-LAST...]", help: "set the addresses that are never given away", inside: true,
		read: pairs("-", "startIp", "endIp"), write: writePairs("-", "startIp", "endIp"),
	},
}

func orNone(said []string) []string {
	if said == nil {
		return []string{}
	}
	return said
}

// pairs makes a list of objects of texts such as PREFIX=NEXTHOP.
func pairs(separator, left, right string) func([]string) (any, error) {
	return func(said []string) (any, error) {
		items := []object{}
		for _, one := range said {
			a, b, ok := strings.Cut(one, separator)
			if !ok {
				return nil, fmt.Errorf("%q: want two values with %q between them", one, separator)
			}
			items = append(items, object{left: a, right: b})
		}
		return items, nil
	}
}

func writePairs(separator, left, right string) func(any) []string {
	return func(v any) (said []string) {
		items, _ := v.([]any)
		for _, item := range items {
			said = append(said, cell(at(item, left))+separator+cell(at(item, right)))
		}
		return said
	}
}

// readRecords gathers the addresses of each name, in the order of the names.
func readRecords(said []string) (any, error) {
	records := []object{}
	for _, one := range said {
		name, ip, ok := strings.Cut(one, "=")
		if !ok {
			return nil, fmt.Errorf("%q: want a name and an address with \"=\" between them", one)
		}
		i := slices.IndexFunc(records, func(o object) bool { return o["name"] == name })
		if i < 0 {
			records = append(records, object{"name": name, "ips": []any{ip}})
			continue
		}
		records[i]["ips"] = append(records[i]["ips"].([]any), ip)
	}
	return records, nil
}

func writeRecords(v any) (said []string) {
	items, _ := v.([]any)
	for _, item := range items {
		for _, ip := range texts(at(item, "ips")) {
			said = append(said, cell(at(item, "name"))+"="+ip)
		}
	}
	return said
}

// settingSteps bring the lists in line that were said.
func settingSteps(e entry, o object, path string) ([]step, error) {
	var steps []step
	for _, w := range wholeSettings {
		if e.said[w.word] == nil {
			continue
		}
		want, err := w.read(e.words(w.word))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.word, err)
		}
		if !equal(want, o[w.json]) {
			steps = append(steps, step{"set " + w.word, http.MethodPut, path + w.below, object{w.json: want}})
		}
	}
	if ip := e.text(routerIPWord); ip != "" && o["routerInterfaceIp"] != ip {
		steps = append(steps, step{"fix the router's address " + ip, http.MethodPut, path + "/router-interface-ip", object{"routerInterfaceIp": ip}})
	}
	return steps, nil
}

const routerIPWord = "router-interface-ip"

func settingWords() []string {
	words := []string{routerIPWord}
	for _, w := range wholeSettings {
		words = append(words, w.word)
	}
	return words
}

func (s *session) wholeSettingCommands(n *noun) []*cobra.Command {
	var all []*cobra.Command
	for _, w := range wholeSettings {
		all = append(all, s.setting(n, "set-"+w.word+" L3 "+w.args, w.help, cobra.MinimumNArgs(1), w.below, func(args []string) (object, error) {
			value, err := w.read(args)
			return object{w.json: value}, err
		}))
	}
	return all
}

// saySettings writes them for export. Those that lie inside a subnet which only
// later entries make have no words.
func (x *exporting) saySettings(n *noun, o object, words *yaml.Node, whole bool) {
	for _, w := range wholeSettings {
		if said := w.write(o[w.json]); w.inside && !whole && len(said) > 0 {
			x.note(n, o, "left out: %s %s", w.json, strings.Join(said, ","))
		} else {
			say(words, w.word, anys(said))
		}
	}
	if ip, _ := o["routerInterfaceIp"].(string); ip != "" && !whole {
		x.note(n, o, "left out: routerInterfaceIp %s", ip)
	} else {
		say(words, routerIPWord, ip)
	}
}

// routeWord is what a nic's own static routes are called.
const routeWord = "routes"

// nicRoutes reads the routes of a nic: PREFIX=NEXTHOP, several with spaces
// between them.
func nicRoutes(words map[string]string) ([]object, error) {
	routes, err := pairs("=", "prefix", "nexthop")(strings.Fields(words[routeWord]))
	if err != nil {
		return nil, fmt.Errorf("routes of a nic: %w", err)
	}
	return routes.([]object), nil
}

// setRoutesCommand sets the static routes of one nic.
func (s *session) setRoutesCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "set-static-routes VM|NIC [PREFIX=NEXTHOP...]", Short: "set the routes that this nic alone is given", Args: cobra.MinimumNArgs(1), ValidArgsFunction: s.names(n),
		Example: "  sluice vm-nic set-static-routes web 10.0.0.0/8=192.168.10.9",
		RunE: func(cmd *cobra.Command, args []string) error {
			routes, err := pairs("=", "prefix", "nexthop")(args[1:])
			if err != nil {
				return usagef("%s: %w", cmd.CommandPath(), err)
			}
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			return s.call(cmd, n, http.MethodPatch, path, object{"staticRoutes": routes})
		},
	}
}

// routeSteps bring the routes of a VM's nics in line with what was said of them.
func (a *applying) routeSteps(ctx context.Context, e entry, o object) ([]step, error) {
	said, err := a.resolvedNics(ctx, e)
	if err != nil {
		return nil, err
	}
	have, _ := o["nics"].([]any)
	var steps []step
	for i, nic := range said {
		if want := nic["staticRoutes"]; i < len(have) && want != nil && !equal(want, at(have[i], "staticRoutes")) {
			steps = append(steps, step{fmt.Sprintf("routes of nic %d", i), http.MethodPatch, "/v1/vm-nics/" + fmt.Sprint(at(have[i], "uuid")), object{"staticRoutes": want}})
		}
	}
	return steps, nil
}
