package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	v1 "github.com/sluice-nfv/sluice/api/v1"
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
	fmt.Fprintln(errOut, "sluice: "+explain(err))
	var usage usageError
	if errors.As(err, &usage) || isCobraUsage(err) {
		return exitUsage
	}
	return exitFailed
}

// Command is the whole tree of commands.
func Command(version string, extra ...*cobra.Command) *cobra.Command {
	s := &session{}
	root := &cobra.Command{
		Use:   "sluice",
		Short: "virtual routers for private clouds",
		Long: `sluice gives every guest network its own virtual router on libvirt.

  sluice server                 run the orchestrator
  sluice apply -f topology.yaml make what a file describes
  sluice NOUN list|show|create|delete

Names and UUIDs are alike everywhere. The server is reached over its unix
socket, or over HTTPS with --server, --token-file and --ca-file.`,
		Version: version, SilenceUsage: true, SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	s.bind(root)
	for i := range nouns {
		root.AddCommand(s.nounCommand(&nouns[i]))
	}
	root.AddCommand(s.applyCommand())
	root.AddCommand(extra...)
	return root
}

// usageError is a mistake in the words of a command.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// isCobraUsage: cobra has no type for these.
func isCobraUsage(err error) bool {
	return strings.HasPrefix(err.Error(), "unknown command") || strings.HasPrefix(err.Error(), "required flag") ||
		strings.Contains(err.Error(), "arg(s)")
}

// explain adds the causes and resources of a refusal.
func explain(err error) string {
	var e *v1.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s [%s]", e.Detail, e.Code)
	if len(e.Resources) > 0 {
		fmt.Fprintf(&b, "\n  concerns %s", strings.Join(e.Resources, ", "))
	}
	return clean2(b.String())
}

// clean2 keeps line ends, which explain puts there itself.
func clean2(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// progress says what is being waited for, on a terminal only once a line.
func (s *session) progress(format string, args ...any) {
	if f, ok := s.err.(*os.File); ok && f != nil {
		fmt.Fprintf(f, format+"\n", args...)
	}
}
