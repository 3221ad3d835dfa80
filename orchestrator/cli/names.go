package cli

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
)

// namesPatience is how long a table waits for the names of what it refers to;
// then it shows UUIDs.
const namesPatience = 5 * time.Second

// references are the fields that hold a UUID, or a list of them, by what they
// name. One that is not here is shown as it is.
var references = map[string]string{
	"zoneUuid": "zone", "clusterUuid": "cluster", "attachedClusterUuids": "cluster", "hostUuid": "host",
	"l2NetworkUuid": "l2-network", "l3NetworkUuid": "l3-network", "managementNetworkUuid": "l3-network", "publicNetworkUuid": "l3-network",
	"imageUuid": "image", "virtualRouterOfferingUuid": "virtual-router-offering", "virtualRouterUuid": "virtual-router",
	"vmInstanceUuid": "vm-instance", "vmNicUuid": "vm-nic", "vipUuid": "vip",
}

// leaf is the last part of a column's path.
func leaf(column string) string { return column[strings.LastIndex(column, "/")+1:] }

// head is a column's heading: zoneUuid is ZONE, for it shows the name.
func head(column string) string {
	if references[leaf(column)] != "" {
		column = strings.TrimSuffix(strings.TrimSuffix(column, "s"), "Uuid")
	}
	of, last, nested := strings.Cut(column, "/")
	switch {
	case !nested:
		last = of
	case last == "name":
		last = of
	case last == "id":
		last = of + "Id"
	}
	return strings.ToUpper(dashed.ReplaceAllString(last, "$1-$2"))
}

// dashed is where the words of a field's name meet.
var dashed = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// named are copies of items in which the columns' references are names.
func (s *session) named(columns []string, items []object) []object {
	ctx, cancel := context.WithTimeout(context.Background(), namesPatience)
	defer cancel()
	known := map[string]map[string]string{} // by noun
	for _, c := range columns {
		noun := references[leaf(c)]
		if noun == "" || known[noun] != nil || !slices.ContainsFunc(items, func(o object) bool { return cell(at(o, c)) != "-" }) {
			continue
		}
		known[noun] = s.namesOf(ctx, noun)
	}
	out := make([]object, len(items))
	for i, o := range items {
		out[i], _ = withNames(o, known).(object)
	}
	return out
}

// namesOf are the names of a noun's objects by UUID; of nics, their VMs'. What
// cannot be asked has none.
func (s *session) namesOf(ctx context.Context, noun string) map[string]string {
	names := map[string]string{}
	items, err := client.List[object](ctx, s.api, "/v1/"+nounByName(noun).path, nil)
	if err != nil {
		return names
	}
	var vms map[string]string
	if noun == "vm-nic" && len(items) > 0 {
		vms = s.namesOf(ctx, "vm-instance")
	}
	for _, o := range items {
		id := fmt.Sprint(o["uuid"])
		name, _ := o["name"].(string)
		if vms != nil {
			name = vms[fmt.Sprint(o["vmInstanceUuid"])]
		}
		if name != "" {
			names[id] = name
		}
	}
	return names
}

// withNames replaces references in a value, also within objects and lists.
func withNames(v any, known map[string]map[string]string) any {
	switch v := v.(type) {
	case object:
		c := maps.Clone(v)
		for key, value := range c {
			if names := known[references[key]]; names != nil {
				c[key] = nameIn(names, value)
			} else {
				c[key] = withNames(value, known)
			}
		}
		return c
	case []any:
		c := slices.Clone(v)
		for i := range c {
			c[i] = withNames(c[i], known)
		}
		return c
	}
	return v
}

func nameIn(names map[string]string, v any) any {
	switch v := v.(type) {
	case string:
		if name := names[v]; name != "" {
			return name
		}
	case []any:
		c := slices.Clone(v)
		for i := range c {
			c[i] = nameIn(names, c[i])
		}
		return c
	}
	return v
}
