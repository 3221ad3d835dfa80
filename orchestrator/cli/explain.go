package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// explanation is one that is printed.
type explanation struct{ v1.Explanation }

// explainAnyCommand is the same in the order of an English sentence.
func (s *session) explainAnyCommand() *cobra.Command {
	n := nounByName("virtual-router")
	cmd := &cobra.Command{
		Use: "explain", Short: "why a router does not serve, in words", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("%s: say of what: router NAME", cmd.CommandPath())
		},
	}
	router := s.explainCommand(n)
	router.Use, router.Aliases = "router NAME|UUID", []string{n.name, n.path}
	cmd.AddCommand(router)
	return cmd
}

func (s *session) explainCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "explain NAME|UUID", Short: "what is wanted, what is there, and why they differ, in words", Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(n),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			x, err := s.explain(cmd.Context(), path)
			if err != nil {
				return err
			}
			if s.output == "json" || s.output == "yaml" {
				return s.printValue(x.Explanation)
			}
			return x.print(s.out)
		},
	}
}

func (s *session) explain(ctx context.Context, path string) (*explanation, error) {
	x := &explanation{}
	return x, s.api.Do(ctx, http.MethodGet, path+"/explain", nil, &x.Explanation)
}

func (x *explanation) print(to io.Writer) error {
	r := &x.Router
	verdict := "does not serve what is wanted"
	if x.Serving {
		verdict = "serves what is wanted"
	} else if r.WantedState != v1.StateRunning {
		verdict = "is not to serve"
	}
	fmt.Fprintf(to, "%s (%s) %s.\n", clean(r.Name), r.UUID, verdict)
	for _, finding := range x.Findings {
		fmt.Fprintf(to, "- %s\n", clean(finding))
	}
	for _, note := range x.Notes {
		fmt.Fprintf(to, "  note: %s\n", clean(note))
	}
	fmt.Fprintln(to)
	if err := grid(to, []string{"", "WANTED", "DECIDED", "REACHED", "AGENT SAYS"}, x.comparison()); err != nil {
		return err
	}
	if len(r.Conditions) > 0 {
		fmt.Fprintln(to)
		if err := conditionTable(to, r.Conditions); err != nil {
			return err
		}
	}
	return x.printServices(to)
}

func (x *explanation) comparison() [][]string {
	r := &x.Router
	status := agentv1.RouterStatus{}
	agent := "no answer"
	if x.Status != nil {
		status, agent = *x.Status, "answers"
	}
	return [][]string{
		{"state", r.WantedState, "-", r.State + ", " + r.Status, agent},
		{"generation", "-", number64(r.DesiredGeneration), number64(r.AppliedGeneration), number64(status.AppliedGeneration)},
		{"content", hash(x.WantedHash), hash(r.DesiredHash), hash(r.AppliedHash), hash(status.AppliedHash)},
		{"agent", "-", "-", cell(r.AgentVersion), cell(status.AgentVersion)},
	}
}

func number64(n uint64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// hash is enough of one to compare by eye.
func hash(h string) string { return cell(h[:min(len(h), 12)]) }

func (x *explanation) printServices(to io.Writer) error {
	if x.Status == nil || len(x.Status.Services) == 0 {
		return nil
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(x.Status.Services)) {
		service := x.Status.Services[name]
		rows = append(rows, []string{clean(name), fmt.Sprint(service.Ready), cell(service.Error)})
	}
	fmt.Fprintln(to)
	return grid(to, []string{"SERVICE", "READY", "ERROR"}, rows)
}
