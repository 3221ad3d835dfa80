package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// applying is one run of apply.
type applying struct {
	*session
	wait string // for each VM's network
	// changing: a dry run would have changed something by now.
	changing bool
	// would is what the server says would come of the entry at hand.
	would v1.Plan
}

func (s *session) applyCommand() *cobra.Command {
	var file string
	a := &applying{session: s}
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "make what a file describes, and change nothing that is so already", Args: cobra.NoArgs,
		Long: `apply reads a list of objects and makes those that are missing, in order.
What exists is found by its name and compared: name servers, MTU, services,
attachments, ranges, descriptions, tags and the state of VMs are brought in
line; any other difference is reported and changes nothing. Each object is a
line of output: + made, ~ changed, = as it was.

  - zone: {name: demo}
  - cluster: {name: rack, zone: demo}
  - host: {name: this-machine, cluster: rack}
  - l2-network: {name: tenant, zone: demo, physical-interface: eth1, clusters: [rack]}
  - l3-network: {name: guest, l2: tenant, cidr: 192.168.10.0/24, dns: [1.1.1.1], services: [dhcp, dns, snat]}
  - vm-instance: {name: web, hostname: web, nics: [guest], state: Running}

What can be said (* has to be), besides name, description and tags:

` + wordList(),
		Example: "  sluice apply -f topology.yaml --dry-run\n  sluice export | sluice apply -f -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("apply: say which file with -f (- is standard input)")
			}
			if _, err := time.ParseDuration(a.wait); err != nil {
				return usagef("apply: --wait %q: want a duration such as 180s", a.wait)
			}
			if err := s.open(cmd); err != nil {
				return err
			}
			return a.file(cmd.Context(), cmd.InOrStdin(), file)
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file, or - for standard input")
	cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "say what would be done, and do nothing")
	cmd.Flags().StringVar(&a.wait, "wait", "180s", "how long to wait for each VM's network")
	return cmd
}

// wordList is what apply knows, from the same table.
func wordList() string {
	var b strings.Builder
	for i := range nouns {
		n := &nouns[i]
		if n.derived || n.apart {
			continue
		}
		var words []string
		for _, f := range n.fields {
			word := f.flag
			if f.must {
				word += "*"
			}
			words = append(words, word)
		}
		line := fmt.Sprintf("  %-24s %s", n.name, strings.Join(append(words, extraWords[n.name]...), ", "))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (a *applying) file(ctx context.Context, in io.Reader, file string) error {
	b, err := readFile(in, file)
	if err != nil {
		return err
	}
	entries, err := parseTopology(b)
	if err != nil {
		return fmt.Errorf("%s, %w", file, err)
	}
	a.planned = map[string]bool{}
	for _, e := range entries {
		if err := a.entry(ctx, e); err != nil {
			return fmt.Errorf("%s, line %d, %s %s: %w", file, e.line, e.noun.name, e.name, err)
		}
	}
	return nil
}

func readFile(in io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(file)
}

// entry makes or aligns one object and prints one line.
func (a *applying) entry(ctx context.Context, e entry) error {
	began, settled := time.Now(), !a.changing
	a.would = v1.Plan{}
	o, made, err := a.ensure(ctx, e)
	if err != nil {
		return err
	}
	steps, err := a.steps(ctx, e, o, made)
	if err != nil {
		return err
	}
	var changes []string
	for i, change := range steps {
		changes = append(changes, change.what)
		if a.dryRun {
			if settled && !made && i == 0 && !refersToPlanned(change) {
				if a.would, err = a.wouldDo(ctx, change.method, change.path, change.body); err != nil {
					return err
				}
			}
			continue
		}
		err := a.watch(ctx, a.stages(e.noun, fmt.Sprint(o["uuid"])), func() error { return a.run(ctx, steps[i:i+1]) })
		if err != nil {
			return err
		}
	}
	a.line(ctx, e, made, changes, time.Since(began))
	return nil
}

func (a *applying) line(ctx context.Context, e entry, made bool, changes []string, took time.Duration) {
	sign := "="
	switch {
	case made:
		sign = "+"
	case len(changes) > 0:
		sign = "~"
	}
	line := fmt.Sprintf("%s %s %s", sign, e.noun.name, e.name)
	if len(changes) > 0 {
		line += ": " + strings.Join(changes, "; ")
	}
	if !a.dryRun {
		line += fmt.Sprintf(" (%.1fs)", took.Seconds())
	}
	fmt.Fprintln(a.out, clean(line))
	for _, line := range a.planLines(ctx, a.would) {
		fmt.Fprintln(a.out, "    "+line)
	}
}

// ensure is the object that an entry is about, made if it was missing.
func (a *applying) ensure(ctx context.Context, e entry) (o object, made bool, err error) {
	found, err := a.find(ctx, e.noun, e.name)
	switch {
	case err != nil:
		return nil, false, err
	case len(found) > 1:
		return nil, false, ambiguous(e.noun, e.name, found)
	case len(found) == 1:
		return found[0], false, nil
	case a.dryRun:
		o, err = a.plan(ctx, e)
	default:
		o, err = a.make(ctx, e)
	}
	return o, true, err
}

// steps bring the object in line. Of one that is only planned there is nothing
// to compare, but the state that it is to have.
func (a *applying) steps(ctx context.Context, e entry, o object, made bool) ([]step, error) {
	if a.dryRun && made {
		return a.stateSteps(e, o, ""), nil
	}
	steps, err := a.differences(ctx, e, o)
	a.changing = a.changing || len(steps) > 0
	return steps, err
}

// plan is what would be made. The server checks it, unless it refers to
// objects that are planned themselves, or others would have changed before.
func (a *applying) plan(ctx context.Context, e entry) (object, error) {
	body, err := a.body(ctx, e)
	if err != nil {
		return nil, err
	}
	a.planned[e.noun.name+"/"+e.name] = true
	o := object{"uuid": plannedUUID + e.name, "state": "Stopped"}
	if _, err := a.completing(ctx, e, o); err != nil {
		return nil, err
	}
	if a.changing || e.noun.name == "ip-range" || strings.Contains(cell(body), plannedUUID) {
		return o, nil
	}
	a.would, err = a.wouldDo(ctx, http.MethodPost, "/v1/"+e.noun.path, body)
	return o, err
}

// refersToPlanned reports that a step is about an object that is not there yet.
func refersToPlanned(st step) bool {
	return strings.Contains(st.path, url.PathEscape(plannedUUID)) || strings.Contains(cell(asAnswered(st.body)), plannedUUID)
}
