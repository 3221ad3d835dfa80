package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-nfv/sluice/api/client"
)

// nounCommand is everything that can be done with a noun.
func (s *session) nounCommand(n *noun) *cobra.Command {
	cmd := &cobra.Command{
		Use: n.name, Aliases: []string{n.path}, Short: n.short,
		Example: "  sluice " + n.name + " list",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				verbs := verbsOf(cmd)
				return usagef("%s: %q is no verb of it%s; say %s", cmd.CommandPath(), args[0], didYouMean(args[0], verbs), strings.Join(verbs, ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("%s: say what to do: %s", cmd.CommandPath(), strings.Join(verbsOf(cmd), ", "))
		},
	}
	if n.example != "" {
		cmd.Example = "  sluice " + n.name + " " + n.example
	}
	cmd.PersistentFlags().BoolVar(&s.dryRun, "dry-run", false, "of what changes something: check everything, show what would come of it, and do nothing")
	cmd.AddCommand(s.listCommand(n), s.showCommand(n), s.updateCommand(n), s.editCommand(n), s.deleteCommand(n))
	if !n.derived {
		cmd.AddCommand(s.createCommand(n))
	}
	for _, action := range n.actions {
		cmd.AddCommand(s.actionCommand(n, action))
	}
	cmd.AddCommand(s.extras(n)...)
	return cmd
}

func verbsOf(cmd *cobra.Command) []string {
	var verbs []string
	for _, c := range cmd.Commands() {
		verbs = append(verbs, c.Name())
	}
	return verbs
}

func (s *session) listCommand(n *noun) *cobra.Command {
	var filters []string
	var order string
	var follow bool
	cmd := &cobra.Command{
		Use: "list", Short: "list all, or those that match", Args: cobra.NoArgs,
		Example: "  sluice " + n.name + " list\n  sluice " + n.name + " list --filter name~=web -o json\n  sluice " + n.name + " list --watch",
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			for _, f := range filters {
				key, value, ok := strings.Cut(f, "=")
				if !ok || key == "" {
					return usagef("--filter %q: want field=value or field~=text", f)
				}
				query.Add(key, value)
			}
			if err := s.open(cmd); err != nil {
				return err
			}
			if order != "" {
				query.Set("sort", order)
			}
			if follow {
				return s.follow(cmd.Context(), n, query)
			}
			items, err := client.List[object](cmd.Context(), s.api, "/v1/"+n.path, query)
			if err != nil {
				return err
			}
			return s.print(n, items, false)
		},
	}
	cmd.Flags().StringArrayVar(&filters, "filter", nil, "field=value or field~=text; may be given several times")
	cmd.Flags().StringVar(&order, "sort", "", "field to sort by, such as name; -name is descending (default: as they were made)")
	cmd.Flags().BoolVarP(&follow, "watch", "w", false, "go on with a line for each change, until interrupted; -o json: one event a line")
	return cmd
}

func (s *session) showCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME|UUID", Short: "show one", Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(n),
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
	var cascade bool
	cmd := &cobra.Command{
		Use: "delete NAME|UUID...", Short: "delete; deleting what does not exist succeeds for a UUID", Args: cobra.MinimumNArgs(1), ValidArgsFunction: s.names(n),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, arg := range args {
				path, err := s.pathOf(cmd, n, arg)
				if cascade {
					path += "?cascade=true"
				}
				if err == nil && s.dryRun {
					errs = append(errs, s.preview(cmd.Context(), http.MethodDelete, path, nil))
					continue
				}
				if err == nil {
					err = s.api.Do(cmd.Context(), http.MethodDelete, path+n.settled(), nil, nil)
				}
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(s.out, "- %s %s\n", n.name, clean(arg))
			}
			return errors.Join(errs...)
		},
	}
	if n.name == "account" {
		cmd.Flags().BoolVar(&cascade, "cascade", false, "delete all that it owns first")
	}
	return cmd
}

func (s *session) actionCommand(n *noun, action string) *cobra.Command {
	var wait string
	cmd := &cobra.Command{
		Use: action + " NAME|UUID", Short: action + " it", Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(n),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := time.ParseDuration(wait); wait != "" && err != nil {
				return usagef("%s: --wait %q: want a duration such as 120s", cmd.CommandPath(), wait)
			}
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			if s.dryRun {
				return s.preview(cmd.Context(), http.MethodPost, path+"/actions", object{"action": action})
			}
			id := path[strings.LastIndex(path, "/")+1:]
			if wait != "" {
				query := url.Values{"wait": {wait}}
				path += "/actions?" + query.Encode()
			} else {
				path += "/actions"
			}
			var o object
			err = s.watch(cmd.Context(), s.stages(n, id), func() error {
				return s.api.Do(cmd.Context(), http.MethodPost, path, object{"action": action}, &o)
			})
			if err != nil {
				return err
			}
			return s.print(n, []object{o}, true)
		},
	}
	if n.name == "vm-instance" || n.name == "virtual-router" {
		cmd.Short = map[string]string{"stop": "stop it", "start": "start it, and wait until its network serves"}[action]
		if cmd.Short == "" {
			cmd.Short = action + " it, and wait until its network serves again"
		}
		cmd.Flags().StringVar(&wait, "wait", "120s", "how long to wait; 0s returns at once")
	}
	return cmd
}

// call makes one call on an object, or on what is below it, and prints the
// object as it is then.
func (s *session) call(cmd *cobra.Command, n *noun, method, path string, body any) error {
	if s.dryRun && method != http.MethodGet {
		return s.preview(cmd.Context(), method, path, body)
	}
	var o object
	if err := s.api.Do(cmd.Context(), method, path, body, &o); err != nil {
		return err
	}
	if o == nil { // taking something off answers nothing: /v1/NOUN/UUID/...
		whole := strings.Join(strings.Split(path, "/")[:4], "/")
		if err := s.api.Do(cmd.Context(), http.MethodGet, whole, nil, &o); err != nil {
			return err
		}
	}
	return s.print(n, []object{o}, true)
}

// pathOf opens the session and is the URL path of a named object.
func (s *session) pathOf(cmd *cobra.Command, n *noun, name string) (string, error) {
	if err := s.open(cmd); err != nil {
		return "", err
	}
	id, err := s.resolve(cmd.Context(), n, name)
	return "/v1/" + n.path + "/" + url.PathEscape(id), err
}
