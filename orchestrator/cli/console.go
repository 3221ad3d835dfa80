package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// consoleCommand shows a console; there is nothing to type to: a router has no
// shell and no login.
func (s *session) consoleCommand(n *noun) *cobra.Command {
	return s.tailCommand(n, "console", "show what it wrote to its serial console since its last start", func(ctx context.Context, path string) (string, error) {
		var b []byte
		err := s.api.Do(ctx, http.MethodGet, path+"/console", nil, &b)
		return string(b), err
	})
}

func (s *session) logsCommand(n *noun) *cobra.Command {
	return s.tailCommand(n, "logs", "show the log of its agent", func(ctx context.Context, path string) (string, error) {
		var d agentv1.Diagnostics
		err := s.api.Do(ctx, http.MethodGet, path+"/diagnostics", nil, &d)
		return d.Sections["logs"], err
	})
}

// tailCommand prints a text that grows, and with --follow what is added to it.
func (s *session) tailCommand(n *noun, use, short string, read func(ctx context.Context, path string) (string, error)) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: use + " NAME|UUID", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(n),
		Example: "  sluice " + n.name + " " + use + " vr-guest --follow",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			t := &tail{to: s.out}
			for {
				text, err := read(cmd.Context(), path)
				var refused *v1.Error
				switch {
				case cmd.Context().Err() != nil:
					return nil // the way to end it
				case err == nil:
					err = t.show(text)
				case follow && errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable:
					err = nil // it reboots, perhaps
				}
				if err != nil || !follow {
					return err
				}
				select {
				case <-time.After(followPause):
				case <-cmd.Context().Done():
					return nil
				}
			}
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is added, until interrupted")
	return cmd
}

// tail writes what is new of a text whose end is read again and again.
type tail struct {
	to   io.Writer
	last string
}

// memory is by how much of its end the old text is found in the new one, in
// bytes: more than any message that is repeated.
const memory = 4 << 10

func (t *tail) show(text string) error {
	added := text
	if known := t.last[max(0, len(t.last)-memory):]; known != "" {
		if strings.HasPrefix(text, t.last) {
			added = text[len(t.last):]
		} else if i := strings.LastIndex(text, known); i >= 0 {
			added = text[i+len(known):]
		}
	}
	t.last = text
	for line := range strings.Lines(added) {
		end := ""
		if strings.HasSuffix(line, "\n") {
			end = "\n"
		}
		if _, err := fmt.Fprint(t.to, clean(strings.TrimRight(line, "\r\n"))+end); err != nil {
			return err
		}
	}
	return nil
}
