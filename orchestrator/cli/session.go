package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/google/uuid"
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
	wait                      string
	api                       *client.Client
	out                       io.Writer
	err                       io.Writer
}

// object is a resource as it came, without a type: the command line shows what
// the server says, also fields that it does not know.
type object = map[string]any

func (s *session) bind(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&s.server, "server", envOr("SLUICE_SERVER", DefaultServer), "orchestrator: unix:///path or https://host:port (SLUICE_SERVER)")
	f.StringVar(&s.tokenFile, "token-file", os.Getenv("SLUICE_TOKEN_FILE"), "file with the bearer token, for https (SLUICE_TOKEN_FILE)")
	f.StringVar(&s.caFile, "ca-file", os.Getenv("SLUICE_CA_FILE"), "CA that signed the server's certificate, PEM (SLUICE_CA_FILE)")
	f.StringVarP(&s.output, "output", "o", "table", "table, json, yaml or name")
}

func (s *session) open(cmd *cobra.Command) error {
	switch s.output {
	case "table", "json", "yaml", "name":
	default:
		return usagef("--output %q: want table, json, yaml or name", s.output)
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
	s.api, err = client.New(client.Config{Server: s.server, Token: token, CAFile: s.caFile})
	s.out, s.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
	return err
}

func envOr(name, other string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return other
}

// resolve turns a name or UUID into a UUID.
func (s *session) resolve(ctx context.Context, n *noun, nameOrUUID string) (string, error) {
	if _, err := uuid.Parse(nameOrUUID); err == nil {
		return nameOrUUID, nil
	}
	if n.name == "vm-nic" {
		return s.defaultNic(ctx, nameOrUUID)
	}
	found, err := s.find(ctx, n, nameOrUUID)
	if err != nil {
		return "", err
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%s %q does not exist; list them with `sluice %s list`", n.name, nameOrUUID, n.name)
	case 1:
		return fmt.Sprint(found[0]["uuid"]), nil
	}
	return "", fmt.Errorf("%d %ss are named %q; name one by its UUID from `sluice %s list`", len(found), n.name, nameOrUUID, n.name)
}

func (s *session) find(ctx context.Context, n *noun, name string) ([]object, error) {
	return client.List[object](ctx, s.api, "/v1/"+n.path, url.Values{"name": {name}})
}

// defaultNic lets a VM's name stand for its default nic.
func (s *session) defaultNic(ctx context.Context, vm string) (string, error) {
	id, err := s.resolve(ctx, nounByName("vm-instance"), vm)
	if err != nil {
		return "", err
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
	return "", fmt.Errorf("vm-instance %s has no default nic; name one by its UUID from `sluice vm-nic list`", vm)
}
