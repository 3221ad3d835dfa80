package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// DefaultServer is the socket of a server on this machine.
const DefaultServer = "unix:///run/sluice/sluice.sock"

// session is what the global flags say.
type session struct {
	server, tokenFile, caFile string
	output                    string
	wide                      bool // tables have all columns
	api                       *client.Client
	out                       io.Writer
	err                       io.Writer
	// dryRun: what changes something only shows what would come of it.
	dryRun bool
	// planned are objects that a dry run would have made, by noun/name.
	planned map[string]bool
}

// object is a resource as it came, without a type: the command line shows what
// the server says, also fields that it does not know.
type object = map[string]any

var outputs = []string{"table", "wide", "json", "yaml", "name"}

func (s *session) bind(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&s.server, "server", DefaultServer, "orchestrator: unix:///path or https://host:port (SLUICE_SERVER)")
	f.StringVar(&s.tokenFile, "token-file", "", "file with the bearer token, for https (SLUICE_TOKEN_FILE)")
	f.StringVar(&s.caFile, "ca-file", "", "CA that signed the server's certificate, PEM (SLUICE_CA_FILE)")
	Configurable(f)
	f.String("config", DefaultConfig, "file with what flags and SLUICE_ variables leave open (SLUICE_CONFIG)")
	f.StringVarP(&s.output, "output", "o", "table", "table, wide, json, yaml or name")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags
}

// open makes the client; nothing is dialled yet.
func (s *session) open(cmd *cobra.Command) error {
	if err := Configure(cmd); err != nil {
		return err
	}
	if !slices.Contains(outputs, s.output) {
		return usagef("--output %q: want table, wide, json, yaml or name", s.output)
	}
	if s.output == "wide" {
		s.output, s.wide = "table", true
	}
	token := ""
	if s.tokenFile != "" {
		b, err := os.ReadFile(s.tokenFile)
		if err != nil {
			return fmt.Errorf("read token: %w", err)
		}
		token = strings.TrimSpace(string(b))
	}
	var err error
	s.out, s.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
	if s.api, err = client.New(client.Config{Server: s.server, Token: token, CAFile: s.caFile}); err != nil {
		return usageError{err}
	}
	return nil
}

// resolve turns a name or UUID into a UUID. What a dry run has planned has
// none yet: its name stands for it.
func (s *session) resolve(ctx context.Context, n *noun, nameOrUUID string) (string, error) {
	if id := strings.ToLower(nameOrUUID); v1.ValidateUUID(id) == nil {
		return id, nil
	}
	if n.name == "vm-nic" {
		return s.defaultNic(ctx, nameOrUUID)
	}
	found, err := s.find(ctx, n, nameOrUUID)
	if err != nil {
		return "", err
	}
	switch {
	case len(found) == 1:
		return fmt.Sprint(found[0]["uuid"]), nil
	case len(found) > 1:
		return "", ambiguous(n, nameOrUUID, found)
	case s.planned[n.name+"/"+nameOrUUID]:
		return plannedUUID + nameOrUUID, nil
	}
	return "", fmt.Errorf("%s %q does not exist; list them with `sluice %s list`", n.name, nameOrUUID, n.name)
}

// plannedUUID begins what stands for the UUID of an object that is not yet.
const plannedUUID = "planned "

func ambiguous(n *noun, name string, found []object) error {
	ids := make([]string, 0, len(found))
	for _, o := range found {
		ids = append(ids, fmt.Sprint(o["uuid"]))
	}
	return fmt.Errorf("%d objects of kind %s are named %q: %s; say which by its UUID, and see what they are with `sluice %s list --filter name=%s -o wide`",
		len(found), n.name, name, strings.Join(ids, ", "), n.name, name)
}

func (s *session) find(ctx context.Context, n *noun, name string) ([]object, error) {
	return client.List[object](ctx, s.api, "/v1/"+n.path, url.Values{"name": {name}})
}

// defaultNic lets a VM's name stand for its default nic.
func (s *session) defaultNic(ctx context.Context, vm string) (string, error) {
	id, err := s.resolve(ctx, nounByName("vm-instance"), vm)
	if err != nil || strings.HasPrefix(id, plannedUUID) {
		return id, err
	}
	var got v1.VMInstance
	if err := s.api.Do(ctx, http.MethodGet, "/v1/vm-instances/"+id, nil, &got); err != nil {
		return "", err
	}
	for _, nic := range got.Nics {
		if nic.IsDefault {
			return nic.UUID, nil
		}
	}
	return "", fmt.Errorf("vm-instance %s has no default nic; say which by its UUID from `sluice vm-nic list`", vm)
}

// nameOf is the name of an object for messages; its UUID if there is none.
func (s *session) nameOf(ctx context.Context, n *noun, id string) string {
	var o object
	if err := s.api.Do(ctx, http.MethodGet, "/v1/"+n.path+"/"+id, nil, &o); err != nil {
		return id
	}
	if name, ok := o["name"].(string); ok {
		return name
	}
	return id
}
