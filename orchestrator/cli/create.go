package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// createFlags are flags of create beyond the fields, with the word of apply
// that each stands for.
var createFlags = map[string][]struct {
	flag, word string
	kind       kind
	help       string
}{
	"l2-network": {{"cluster", "clusters", list, "cluster to attach it to; may be given several times"}},
	"l3-network": {
		{"cidr", "cidr", text, "network with its range: gateway first, all other addresses free"},
		{"gateway", "gateway", text, "gateway, if not the first address of --cidr"},
		{"service", "services", list, "services of the virtual router: dhcp, dns, snat, eip, portforwarding"},
	},
	"vm-instance": {{"nic", "nics", nicList, "L3 network, or l3=NAME,ip=ADDRESS,mac=MAC,routes=PREFIX=NEXTHOP; once for each nic, the first is the default one (required)"}},
}

func (s *session) createCommand(n *noun) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Short: "create one", Args: cobra.ExactArgs(1), Example: "  sluice " + n.name + " " + n.example,
		RunE: func(cmd *cobra.Command, args []string) error {
			e := entry{noun: n, name: args[0], said: said(n, cmd.Flags())}
			if err := e.check(); err != nil {
				return usagef("%s: %w; see `%s --help`", cmd.CommandPath(), err, cmd.CommandPath())
			}
			if err := s.open(cmd); err != nil {
				return err
			}
			if s.dryRun {
				s.planned = map[string]bool{}
				return (&applying{session: s}).entry(cmd.Context(), e)
			}
			o, err := s.make(cmd.Context(), e)
			if err != nil {
				return err
			}
			return s.print(n, []object{o}, true)
		},
	}
	f := cmd.Flags()
	for _, fd := range n.fields {
		help := fd.help
		if fd.must {
			help += " (required)"
		}
		addFlag(f, fd.flag, fd.kind, help)
		if fd.ref != "" {
			_ = cmd.RegisterFlagCompletionFunc(fd.flag, s.flagNames(nounByName(fd.ref))) // fails for unknown flags
		}
	}
	for _, extra := range createFlags[n.name] {
		addFlag(f, extra.flag, extra.kind, extra.help)
		if complete := s.extraNames(extra.flag); complete != nil {
			_ = cmd.RegisterFlagCompletionFunc(extra.flag, complete) // fails for unknown flags
		}
	}
	f.String("uuid", "", "UUID of your own")
	f.String("description", "", "words for people")
	f.StringSlice("tag", nil, "system tag; may be given several times")
	return cmd
}

// extraNames completes those of createFlags that name something.
func (s *session) extraNames(flag string) cobra.CompletionFunc {
	switch flag {
	case "cluster":
		return s.flagNames(nounByName("cluster"))
	case "nic":
		return s.flagNames(nounByName("l3-network"))
	case "service":
		return cobra.FixedCompletions([]string{"dhcp", "dns", "snat", "eip", "portforwarding"}, cobra.ShellCompDirectiveNoFileComp)
	}
	return nil
}

// said is what the flags say, in the words of apply.
func said(n *noun, flags *pflag.FlagSet) object {
	word := map[string]string{"tag": "tags"}
	for _, extra := range createFlags[n.name] {
		word[extra.flag] = extra.word
	}
	said := object{}
	flags.Visit(func(f *pflag.Flag) {
		key := f.Name
		if w, ok := word[key]; ok {
			key = w
		}
		if values, ok := f.Value.(pflag.SliceValue); ok {
			said[key] = anys(values.GetSlice())
		} else {
			said[key] = f.Value.String()
		}
	})
	return said
}

func addFlag(f *pflag.FlagSet, name string, k kind, help string) {
	switch k {
	case list:
		f.StringSlice(name, nil, help)
	case nicList: // commas stand within each
		f.StringArray(name, nil, help)
	case truth:
		f.Bool(name, false, help)
	default:
		f.String(name, "", help)
	}
}

func anys(texts []string) []any {
	out := make([]any, 0, len(texts))
	for _, t := range texts {
		out = append(out, t)
	}
	return out
}

// make creates an object and returns it as the server has it: all of it or, if
// a part of it is refused, nothing.
func (s *session) make(ctx context.Context, e entry) (object, error) {
	body, err := s.body(ctx, e)
	if err != nil {
		return nil, err
	}
	if e.noun.name == "ip-range" {
		return s.makeRange(ctx, body)
	}
	path := "/v1/" + e.noun.path
	var o object
	if e.noun.name == "host" { // of no use before it is connected
		err = s.watch(ctx, func(context.Context) []stage { return []stage{{e.name, "waiting for its libvirt"}} }, func() error {
			return s.api.Do(ctx, http.MethodPost, path+"?wait=60s", body, &o)
		})
		return o, err
	}
	if err := s.api.Do(ctx, http.MethodPost, path+e.noun.settled(), body, &o); err != nil {
		return nil, err
	}
	calls, err := s.completing(ctx, e, o)
	if len(calls) == 0 && err == nil {
		return o, nil
	}
	path += "/" + fmt.Sprint(o["uuid"])
	if err == nil {
		err = s.run(ctx, calls)
	}
	if err != nil {
		undo := s.api.Do(context.WithoutCancel(ctx), http.MethodDelete, path, nil, nil)
		return nil, errors.Join(err, undo)
	}
	err = s.api.Do(ctx, http.MethodGet, path, nil, &o)
	return o, err
}

// makeRange answers the first of the one or two ranges that a request makes.
func (s *session) makeRange(ctx context.Context, body object) (object, error) {
	l3 := fmt.Sprint(body["l3NetworkUuid"])
	delete(body, "l3NetworkUuid")
	var got struct {
		Items []object `json:"items"`
	}
	if err := s.api.Do(ctx, http.MethodPost, "/v1/l3-networks/"+url.PathEscape(l3)+"/ip-ranges", body, &got); err != nil {
		return nil, err
	}
	if len(got.Items) == 0 {
		return nil, fmt.Errorf("the server made no range of %v", body["name"])
	}
	return got.Items[0], nil
}

// completing are the calls that make a new object whole.
func (s *session) completing(ctx context.Context, e entry, o object) ([]step, error) {
	path := "/v1/" + e.noun.path + "/" + fmt.Sprint(o["uuid"])
	switch e.noun.name {
	case "l2-network":
		return s.clusterSteps(ctx, e, o, path)
	case "l3-network":
		steps, err := rangeSteps(e, o, path)
		if err != nil {
			return nil, err
		}
		settings, err := settingSteps(e, o, path)
		if err != nil {
			return nil, err
		}
		services, err := serviceSteps(e, o, path)
		return slices.Concat(steps, settings, services), err
	}
	return nil, nil
}

// step is one call that brings an object in line.
type step struct {
	what, method, path string
	body               any
}

func (s *session) run(ctx context.Context, steps []step) error {
	for _, step := range steps {
		if err := s.api.Do(ctx, step.method, step.path, step.body, nil); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}
