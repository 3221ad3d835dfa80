package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-nfv/sluice/api/client"
	"github.com/sluice-nfv/sluice/orchestrator/doctor"
)

// doctorPatience is how long the server may take to tell what it knows.
const doctorPatience = 10 * time.Second

// DoctorCommand makes the doctor command. examine adds the facts of this
// machine to those that the server told.
func DoctorCommand(examine func(context.Context, *doctor.Facts)) *cobra.Command {
	var c doctor.Config
	cmd := &cobra.Command{
		Use: "doctor", Short: "find what keeps routers from working here, with a command that mends it", Args: cobra.NoArgs,
		Long: `doctor looks at this machine, and asks the server if it answers: libvirt, whether
guests really run in KVM (it starts one), disks and how fast they are, the clock,
kernel modules, the router template, bridges, the firewall in their way, tokens
that others can read, hosts, routers, and what was left behind. It needs no
server, and changes nothing but that libvirt's storage pool is made.

Each finding is ok, warn, fail, or unknown with the reason. The exit code is 1 if
one is fail.`,
		Example: "  sudo sluice doctor\n  sluice doctor -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := inherited(cmd)
			if err != nil {
				return err
			}
			f := &doctor.Facts{Config: c}
			s.askServer(cmd.Context(), cmd.Root().Version, f)
			if f.Site != nil && c.LibvirtURI == "" && len(f.Site.Local()) > 0 {
				f.Config.LibvirtURI = f.Site.Local()[0].LibvirtURI
			}
			examine(cmd.Context(), f)
			return s.printFindings(doctor.Judge(f))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.DataDir, "data-dir", "/var/lib/sluice", "what the server keeps")
	flags.StringVar(&c.Listen, "listen", ":8743", "HTTPS address of the server")
	flags.StringVar(&c.Instance, "instance", "sluice", "the server's name on libvirt")
	flags.StringVar(&c.LibvirtURI, "libvirt-uri", "", "libvirt of this machine (default: what its host in the store says, else qemu:///system)")
	flags.Int64Var(&c.EtcdQuota, "etcd-quota", 0, "the server's, in bytes (default: its default)")
	Configurable(flags)
	return cmd
}

// inherited is an open session by the global flags of a command that was made
// outside the tree.
func inherited(cmd *cobra.Command) (*session, error) {
	if err := Configure(cmd); err != nil {
		return nil, err
	}
	value := func(name string) string { return cmd.Flags().Lookup(name).Value.String() }
	s := &session{server: value("server"), tokenFile: value("token-file"), caFile: value("ca-file"), output: value("output")}
	return s, s.open(cmd)
}

// askServer fills in what the server says, or why it says nothing.
func (s *session) askServer(ctx context.Context, version string, f *doctor.Facts) {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	f.Server = doctor.Server{Address: s.server, Local: strings.HasPrefix(s.server, "unix:"), Client: version}
	if s.tokenFile != "" {
		f.Server.Token = doctor.LookAtSecret(s.tokenFile)
	}
	var got struct{ Version string }
	if err := s.api.Do(ctx, http.MethodGet, "/version", nil, &got); err != nil {
		f.Server.Error = err.Error()
		return
	}
	f.Server.Version = got.Version
	if err := s.api.Do(ctx, http.MethodGet, "/readyz", nil, nil); err != nil {
		f.Server.Behind = err.Error()
	}
	site := &doctor.Site{}
	err := errors.Join(
		all(ctx, s.api, "hosts", &site.Hosts), all(ctx, s.api, "l2-networks", &site.L2s),
		all(ctx, s.api, "images", &site.Images), all(ctx, s.api, "virtual-routers", &site.Routers))
	if err != nil {
		f.Server.Refused = report(err)
		return
	}
	f.Site = site
}

func all[T any](ctx context.Context, c *client.Client, path string, to *[]T) (err error) {
	*to, err = client.List[T](ctx, c, "/v1/"+path, nil)
	return err
}

// oneLine folds what others, such as QEMU, said in several.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// printFindings ends with an error if something fails.
func (s *session) printFindings(found []doctor.Finding) error {
	if s.output == "json" || s.output == "yaml" {
		if err := s.printValue(found); err != nil {
			return err
		}
	} else {
		var rows [][]string
		for _, f := range found {
			rows = append(rows, []string{string(f.Level), f.Check, clean(oneLine(f.What))})
			if f.Fix != "" {
				rows = append(rows, []string{"", "", "  " + clean(f.Fix)})
			}
		}
		if err := grid(s.out, nil, rows); err != nil {
			return err
		}
	}
	failed := 0
	for _, f := range found {
		if f.Level == doctor.Fail {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("doctor: %d of %d findings keep routers from working; the command under each mends it", failed, len(found))
	}
	return nil
}
