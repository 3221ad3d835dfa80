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

// explanation is what is wanted of a router, what is there, and why they
// differ.
type explanation struct {
	Router v1.VirtualRouter `json:"router"`
	// WantedHash is of what the newest objects ask for; empty if that cannot be
	// planned, and then PlanError says why.
	WantedHash string `json:"wantedHash"`
	PlanError  string `json:"planError,omitempty"`
	// Status is what the agent says, unless it does not answer.
	Status      *agentv1.RouterStatus `json:"status,omitempty"`
	StatusError string                `json:"statusError,omitempty"`
	Serving     bool                  `json:"serving"`
	// Findings are sentences, the most important first.
	Findings []string `json:"findings"`
}

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
				return s.printValue(x)
			}
			return x.print(s.out)
		},
	}
}

func (s *session) explain(ctx context.Context, path string) (*explanation, error) {
	x := &explanation{}
	if err := s.api.Do(ctx, http.MethodGet, path, nil, &x.Router); err != nil {
		return nil, err
	}
	var spec agentv1.RouterSpec
	if err := s.api.Do(ctx, http.MethodGet, path+"/spec", nil, &spec); err != nil {
		x.PlanError = err.Error()
	} else {
		x.WantedHash = spec.Hash
	}
	var status agentv1.RouterStatus
	if err := s.api.Do(ctx, http.MethodGet, path+"/status", nil, &status); err != nil {
		x.StatusError = err.Error()
	} else {
		x.Status = &status
	}
	x.conclude()
	return x, nil
}

// conclude fills Serving and Findings from the rest.
func (x *explanation) conclude() {
	r := &x.Router
	x.Findings = slices.Concat(x.stateFindings(), x.contentFindings(), x.agentFindings())
	x.Serving = len(x.Findings) == 0 && r.WantedState == v1.StateRunning
	if !x.Serving && len(x.Findings) == 0 {
		x.Findings = []string{fmt.Sprintf("It is wanted %s, and so it is.", r.WantedState)}
	}
}

func (x *explanation) stateFindings() (found []string) {
	r := &x.Router
	for _, c := range r.Conditions {
		if c.Status == v1.False && c.Type != ready && !isReady(r) {
			found = append(found, fmt.Sprintf("Stage %s failed at %s: %s", c.Type, timeText(c.Since), c.Message))
		}
	}
	if r.State != r.WantedState {
		found = append(found, fmt.Sprintf("It is wanted %s and is %s; the orchestrator works on it or tries again by itself.", r.WantedState, r.State))
	}
	if r.WantedState == v1.StateRunning && r.Status != v1.Connected {
		found = append(found, fmt.Sprintf("The orchestrator is not connected to its agent (%s).", r.Status))
	}
	return found
}

// isReady reports whether all is well, whatever has failed before.
func isReady(r *v1.VirtualRouter) bool {
	return slices.ContainsFunc(r.Conditions, func(c v1.Condition) bool { return c.Type == ready && c.Status == v1.True })
}

// contentFindings compare the wanted content with what was decided and reached.
func (x *explanation) contentFindings() (found []string) {
	r := &x.Router
	if r.WantedState != v1.StateRunning {
		return nil
	}
	switch {
	case x.PlanError != "":
		found = append(found, "What is wanted of it cannot be planned: "+x.PlanError)
	case r.DesiredGeneration == 0:
		return []string{"Nothing was applied to it yet; that comes after its boot."}
	case x.WantedHash != r.DesiredHash:
		found = append(found, fmt.Sprintf("Objects have changed since generation %d was decided on; the next one follows.", r.DesiredGeneration))
	}
	if r.AppliedHash != r.DesiredHash || r.AppliedGeneration != r.DesiredGeneration {
		found = append(found, fmt.Sprintf("Generation %d was decided on and %s is reached.", r.DesiredGeneration, generation(r.AppliedGeneration)))
	}
	return found
}

func generation(g uint64) string {
	if g == 0 {
		return "none"
	}
	return fmt.Sprintf("generation %d", g)
}

func (x *explanation) agentFindings() (found []string) {
	r, status := &x.Router, x.Status
	if r.WantedState != v1.StateRunning {
		return nil
	}
	if status == nil {
		return []string{"Its agent was asked and gave no status: " + x.StatusError}
	}
	if status.AppliedHash != x.WantedHash && x.WantedHash != "" {
		found = append(found, fmt.Sprintf("The agent has accepted %s and reached %s, which is not what is wanted now.",
			generation(status.AcceptedGeneration), generation(status.AppliedGeneration)))
	}
	for _, name := range slices.Sorted(maps.Keys(status.Services)) {
		if service := status.Services[name]; !service.Ready {
			found = append(found, fmt.Sprintf("Service %s is not ready: %s", name, orSaysNothing(service.Error)))
		}
	}
	if r.BootID != "" && status.BootID != r.BootID {
		found = append(found, "It has booted again since it was last applied to; what is wanted is pushed to it anew.")
	}
	for _, warning := range status.Warnings {
		found = append(found, "Its agent warns: "+clean(warning)+".")
	}
	for _, field := range status.Ignored {
		found = append(found, fmt.Sprintf("Its agent is too old for %s of the spec and ignores it; rebuild the router from a newer template.", field))
	}
	return found
}

func orSaysNothing(message string) string {
	if message == "" {
		return "it does not say why"
	}
	return message
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
