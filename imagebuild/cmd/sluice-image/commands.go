package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-nfv/sluice/imagebuild"
)

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "sluice-image", Short: "Build, verify and inspect the router template",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(buildCommand(), verifyCommand(), inspectCommand(), recipeCommand(), packagesCommand())
	return root
}

func buildCommand() *cobra.Command {
	o := imagebuild.Options{Recipe: imagebuild.Default()}
	c := &cobra.Command{Use: "build --output DIR", Short: "Build vmlinuz, initrd, router.qcow2 and manifest.json", Args: cobra.NoArgs}
	f := c.Flags()
	f.StringVar(&o.Output, "output", "", "directory for the template (required)")
	f.StringVar(&o.Agent, "agent", "", "path of the sluice-agent binary (default: next to this program, else in PATH)")
	sourceFlags(f, &o)
	f.BoolVar(&o.NoDisk, "no-disk", false, "leave router.qcow2 out")
	_ = c.MarkFlagRequired("output")
	c.RunE = func(c *cobra.Command, _ []string) error {
		agent, err := findAgent(o.Agent)
		if err != nil {
			return err
		}
		o.Agent, o.Log = agent, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
		m, err := imagebuild.Build(c.Context(), o)
		if err != nil {
			return err
		}
		describe(c.OutOrStdout(), m)
		return nil
	}
	return c
}

// sourceFlags are those that say where packages come from.
func sourceFlags(f *pflag.FlagSet, o *imagebuild.Options) {
	f.StringVar(&o.Mirror, "mirror", "", "Debian mirror (default: this machine's apt sources)")
	f.StringVar(&o.Suite, "suite", "bookworm", "Debian release, with --mirror")
	f.StringVar(&o.Cache, "cache", "/var/cache/sluice/image-cache", "directory for packages and unchanged parts")
}

func packagesCommand() *cobra.Command {
	o := imagebuild.Options{Recipe: imagebuild.Default()}
	c := &cobra.Command{Use: "packages", Short: "List the package files that a build would use now", Args: cobra.NoArgs}
	sourceFlags(c.Flags(), &o)
	c.RunE = func(c *cobra.Command, _ []string) error {
		lines, err := imagebuild.Packages(c.Context(), o)
		for _, l := range lines {
			fmt.Fprintln(c.OutOrStdout(), l)
		}
		return err
	}
	return c
}

// findAgent is the named binary, or the one beside this program, or in PATH.
func findAgent(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "sluice-agent")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	found, err := exec.LookPath("sluice-agent")
	if err != nil {
		return "", errors.New("find agent: no sluice-agent beside this program or in PATH; name it with --agent")
	}
	return found, nil
}

func verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify DIR", Short: "Check digests and boot the template in QEMU", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := imagebuild.Verify(c.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "ok %s kernel boot %.2fs disk boot %.2fs\n",
				v.Manifest.Version, v.Direct.Seconds(), v.Disk.Seconds())
			return nil
		},
	}
}

func inspectCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: "inspect DIR", Short: "Show what a template is and whether its files are intact", Args: cobra.ExactArgs(1)}
	c.Flags().BoolVar(&asJSON, "json", false, "print the manifest")
	c.RunE = func(c *cobra.Command, args []string) error {
		m, err := imagebuild.ReadManifest(args[0])
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(c.OutOrStdout()).Encode(m)
		}
		describe(c.OutOrStdout(), m)
		return m.Check(args[0])
	}
	return c
}

func recipeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "recipe", Short: "Print the recipe as JSON", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(imagebuild.Default())
		},
	}
}

func describe(w io.Writer, m imagebuild.Manifest) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintf(t, "version\t%s\n", m.Version)
	fmt.Fprintf(t, "kernel\t%s (%s)\n", m.KernelVersion, m.Architecture)
	fmt.Fprintf(t, "agent\t%s\n", m.AgentVersion)
	fmt.Fprintf(t, "built\t%s\n", cmp.Or(m.BuiltAt, "not recorded"))
	fmt.Fprintf(t, "cmdline\t%s\n", m.Cmdline)
	fmt.Fprintf(t, "boots from\t%.1f MB\n", float64(m.BootBytes())/1e6)
	for _, name := range []string{imagebuild.KernelFile, imagebuild.InitrdFile, imagebuild.DiskFile} {
		if f, ok := m.Files[name]; ok {
			fmt.Fprintf(t, "%s\t%.1f MB\t%s\n", name, float64(f.Size)/1e6, f.SHA256)
		}
	}
}
