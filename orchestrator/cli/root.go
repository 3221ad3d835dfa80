package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// Main runs the command line with extra commands (server, host-agent) that
// only the caller can make, and returns the exit code.
func Main(ctx context.Context, version string, args []string, out, errOut io.Writer, extra ...*cobra.Command) int {
	root := Command(version, extra...)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	message := report(err)
	if !strings.HasPrefix(message, "sluice ") { // of what was called
		message = "sluice: " + message
	}
	fmt.Fprintln(errOut, message)
	var usage usageError
	if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
		return exitUsage
	}
	return exitFailed
}

// The groups of --help.
const (
	nounGroup    = "nouns"
	commandGroup = "commands"
)

// Command is the whole tree of commands.
func Command(version string, extra ...*cobra.Command) *cobra.Command {
	s := &session{}
	root := &cobra.Command{
		Use:   "sluice",
		Short: "virtual routers for private clouds",
		Long: `sluice gives every guest network its own virtual router on libvirt.

  sluice server                          run the orchestrator
  sluice apply -f topology.yaml          make what a file describes
  sluice NOUN list|show|create|delete    look at objects, and change them one by one
  sluice explain router NAME             why a router does not serve, in words
  sluice doctor                          what keeps routers from working here

Names and UUIDs are alike everywhere. The server is reached over its unix
socket, or over HTTPS with --server, --token-file and --ca-file; a flag comes
before its SLUICE_ variable, and that before the configuration file, see
` + "`sluice config show`" + `. Exit codes: 0 done, 1 failed, 2 wrong usage.`,
		Example: `  sluice vm-instance create web --hostname web --nic guest
  sluice vm-instance start web
  sluice l3-network list --filter name~=guest -o json`,
		Version: version, SilenceUsage: true, SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%q is neither a noun nor a command%s; see `sluice --help`", args[0], didYouMean(args[0], verbsOf(cmd)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%s: %w%s; see `%s --help`", cmd.CommandPath(), err, didYouMeanFlag(cmd, err), cmd.CommandPath())
	})
	s.bind(root)
	root.AddGroup(&cobra.Group{ID: nounGroup, Title: "Nouns:"}, &cobra.Group{ID: commandGroup, Title: "Commands:"})
	for i := range nouns {
		add(root, nounGroup, s.nounCommand(&nouns[i]))
	}
	add(root, commandGroup, extra...)
	add(root, commandGroup, s.accessCommands()...)
	add(root, commandGroup, s.auditCommand(), s.applyCommand(), s.explainAnyCommand(), s.exportCommand(), s.backupCommand(), s.configCommand(), s.versionCommand(version))
	root.SetHelpCommandGroupID(commandGroup)
	root.SetCompletionCommandGroupID(commandGroup)
	checkArgs(root)
	return root
}

func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// checkArgs makes wrong arguments of all commands below a usage error.
func checkArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			var usage usageError
			err := check(c, args)
			if err == nil || errors.As(err, &usage) {
				return err
			}
			return usagef("%s: %s; usage: %s", c.CommandPath(), wrongArgs(c, args, err), c.UseLine())
		}
	}
	for _, sub := range cmd.Commands() {
		checkArgs(sub)
	}
}

// wrongArgs says which argument is missing or too many, in the words of a
// command's usage; err is cobra's refusal.
func wrongArgs(c *cobra.Command, args []string, err error) string {
	var names []string
	needed := 0
	for _, name := range strings.Fields(c.Use)[1:] {
		names = append(names, name)
		if !strings.HasPrefix(name, "[") {
			needed = len(names)
		}
	}
	switch {
	case len(args) < needed:
		return strings.Join(names[len(args):needed], " ") + " is missing"
	case len(args) > len(names):
		return fmt.Sprintf("%q is too much; a name with spaces has to be quoted", args[len(names)])
	}
	return err.Error()
}

// didYouMeanFlag is didYouMean for a flag that a command does not have.
func didYouMeanFlag(cmd *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return didYouMean("--"+unknown.GetSpecifiedName(), names)
}

// usageError is a mistake in the words of a command.
type usageError struct{ error }

// Usagef is an error that ends the program with the exit code for wrong usage.
func Usagef(format string, args ...any) error { return usagef(format, args...) }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }
