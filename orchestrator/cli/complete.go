package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-nfv/sluice/api/client"
)

// completionPatience is how long the TAB key may ask the server.
const completionPatience = time.Second

// names completes the arguments of a command with the names of objects, one
// noun for each argument; delete takes many of one. A server that does not
// answer completes nothing.
func (s *session) names(perArg ...*noun) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(perArg) && cmd.Name() != "delete" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return s.nameList(cmd, perArg[min(len(args), len(perArg)-1)])
	}
}

// flagNames completes a flag that names an object.
func (s *session) flagNames(n *noun) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return s.nameList(cmd, n)
	}
}

func (s *session) nameList(cmd *cobra.Command, n *noun) ([]string, cobra.ShellCompDirective) {
	const only = cobra.ShellCompDirectiveNoFileComp
	if err := s.open(cmd); err != nil {
		return nil, only
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	if n.name == "vm-nic" { // a VM stands for its default nic
		n = nounByName("vm-instance")
	}
	items, err := client.List[object](ctx, s.api, "/v1/"+n.path, nil)
	if err != nil {
		return nil, only
	}
	var found []string
	for _, o := range items {
		found = append(found, nameOrUUID(o))
	}
	return found, only
}

func (s *session) versionCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "versions of this program and of the server", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.open(cmd); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
			defer cancel()
			var got struct{ Version string }
			server := "not reached at " + s.server
			if err := s.api.Do(ctx, http.MethodGet, "/version", nil, &got); err == nil {
				server = got.Version
			}
			if s.output != "table" {
				return s.printValue(object{"client": version, "server": server})
			}
			_, err := fmt.Fprintf(s.out, "sluice %s\nserver %s\n", version, clean(server))
			return err
		},
	}
}
