package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-nfv/sluice/api/client"
)

// nounCommand is everything that can be done with a noun.
func (s *session) nounCommand(n *noun) *cobra.Command {
	cmd := &cobra.Command{Use: n.name, Aliases: []string{n.path}, Short: n.short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return usageError{fmt.Errorf("sluice %s: say what to do: list, show, create, delete (see --help)", n.name)}
	}}
	cmd.AddCommand(s.listCommand(n), s.showCommand(n), s.deleteCommand(n))
	if n.fields != nil || n.name == "zone" {
		cmd.AddCommand(s.createCommand(n))
	}
	for _, action := range n.actions {
		cmd.AddCommand(s.actionCommand(n, action))
	}
	cmd.AddCommand(s.extras(n)...)
	return cmd
}

func (s *session) listCommand(n *noun) *cobra.Command {
	var filters []string
	cmd := &cobra.Command{
		Use: "list", Short: "list all, or those that match", Args: cobra.NoArgs,
		Example: "  sluice " + n.name + " list\n  sluice " + n.name + " list --filter name~=web -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.open(cmd); err != nil {
				return err
			}
			query := url.Values{}
			for _, f := range filters {
				key, value, ok := strings.Cut(f, "=")
				if !ok {
					return usagef("--filter %q: want field=value or field~=text", f)
				}
				query.Add(key, value)
			}
			items, err := client.List[object](cmd.Context(), s.api, "/v1/"+n.path, query)
			if err != nil {
				return err
			}
			return s.print(n, items, false)
		},
	}
	cmd.Flags().StringArrayVar(&filters, "filter", nil, "field=value or field~=text; may be given several times")
	return cmd
}

func (s *session) showCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME|UUID", Short: "show one", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			return s.call(cmd, n, http.MethodGet, path, nil)
		},
	}
}

func (s *session) deleteCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME|UUID...", Short: "delete; deleting what does not exist succeeds for a UUID", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, arg := range args {
				path, err := s.pathOf(cmd, n, arg)
				if err == nil {
					err = s.api.Do(cmd.Context(), http.MethodDelete, path, nil, nil)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
}

func (s *session) createCommand(n *noun) *cobra.Command {
	values := make([]*string, len(n.fields))
	var id, description string
	var tags, nics, services []string
	var cidr, gateway string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "create one", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.open(cmd); err != nil {
				return err
			}
			body := object{"name": args[0]}
			for _, f := range n.fields {
				if cmd.Flags().Changed(f.flag) {
					flag := cmd.Flags().Lookup(f.flag).Value.String()
					v, err := s.value(cmd.Context(), f, flag)
					if err != nil {
						return err
					}
					body[f.json] = v
				}
			}
			put(body, "uuid", id)
			put(body, "description", description)
			if len(tags) > 0 {
				body["systemTags"] = tags
			}
			if n.name == "vm-instance" {
				parsed, err := s.parseNics(cmd.Context(), nics)
				if err != nil {
					return err
				}
				body["nics"] = parsed
			}
			o, err := s.create(cmd.Context(), n, body)
			if err != nil {
				return err
			}
			if n.name == "l3-network" {
				if o, err = s.finishL3(cmd.Context(), o, cidr, gateway, services); err != nil {
					return err
				}
			}
			return s.print(n, []object{o}, true)
		},
	}
	f := cmd.Flags()
	for i, fd := range n.fields {
		values[i] = new(string)
		f.StringVar(values[i], fd.flag, "", fd.help)
		if fd.kind == truth {
			f.Lookup(fd.flag).NoOptDefVal = "true"
		}
	}
	f.StringVar(&id, "uuid", "", "UUID of your own")
	f.StringVar(&description, "description", "", "words for people")
	f.StringSliceVar(&tags, "tag", nil, "system tag; may be given several times")
	switch n.name {
	case "vm-instance":
		f.StringArrayVar(&nics, "nic", nil, "L3 network, or l3=NAME,ip=ADDRESS,mac=MAC; once a nic, the first is the default one")
	case "l3-network":
		f.StringVar(&cidr, "cidr", "", "network with its range: gateway first, all other addresses free")
		f.StringVar(&gateway, "gateway", "", "gateway, if not the first address of --cidr")
		f.StringSliceVar(&services, "service", nil, "services of the virtual router: dhcp, dns, snat, eip, portforwarding")
	}
	return cmd
}

func put(o object, key, value string) {
	if value != "" {
		o[key] = value
	}
}

func (s *session) actionCommand(n *noun, action string) *cobra.Command {
	cmd := &cobra.Command{
		Use: action + " NAME|UUID", Short: action + " it, and wait until it is done", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			return s.call(cmd, n, http.MethodPost, path+"/actions?wait="+url.QueryEscape(s.wait), object{"action": action})
		},
	}
	cmd.Flags().StringVar(&s.wait, "wait", "120s", "how long to wait; 0 returns at once")
	return cmd
}

// call makes one call and prints the object that it answers with.
func (s *session) call(cmd *cobra.Command, n *noun, method, path string, body any) error {
	var o object
	if err := s.api.Do(cmd.Context(), method, path, body, &o); err != nil {
		return err
	}
	if o == nil {
		return nil
	}
	return s.print(n, []object{o}, true)
}

// pathOf opens the session and is the URL path of a named object.
func (s *session) pathOf(cmd *cobra.Command, n *noun, name string) (string, error) {
	if err := s.open(cmd); err != nil {
		return "", err
	}
	id, err := s.resolve(cmd.Context(), n, name)
	return "/v1/" + n.path + "/" + id, err
}
