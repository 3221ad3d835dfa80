package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (s *session) applyCommand() *cobra.Command {
	var file string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "make what a file describes, and change nothing that is so already", Args: cobra.NoArgs,
		Long: `apply reads a list of objects and makes those that are missing, in order.
What exists is compared: name servers, services, attachments and the state of
VMs are brought in line; any other difference is reported and changes nothing.

  - zone: {name: demo}
  - l2-network: {name: tenant, zone: demo, physical-interface: eth1, clusters: [all]}
  - l3-network: {name: guest, l2: tenant, cidr: 192.168.10.0/24, dns: [1.1.1.1], services: [dhcp, dns, snat]}
  - vm-instance: {name: web, hostname: web, nics: [guest], state: Running}

The words are those of the flags of create.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("apply: say which file with -f (- is standard input)")
			}
			if err := s.open(cmd); err != nil {
				return err
			}
			b, err := readFile(cmd.InOrStdin(), file)
			if err != nil {
				return err
			}
			entries, err := parseTopology(b)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			for _, e := range entries {
				if err := s.applyEntry(cmd.Context(), e, dryRun); err != nil {
					return fmt.Errorf("%s, line %d, %s %s: %w", file, e.line, e.noun.name, e.name, err)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file, or - for standard input")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	cmd.Flags().StringVar(&s.wait, "wait", "180s", "how long to wait for each VM's network")
	return cmd
}

func readFile(in io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(file)
}

// applyEntry makes or aligns one object and prints one line: + made,
// ~ changed, = as it was.
func (s *session) applyEntry(ctx context.Context, e entry, dryRun bool) error {
	began := time.Now()
	found, err := s.find(ctx, e.noun, e.name)
	if err != nil {
		return err
	}
	sign := "="
	var o object
	switch {
	case len(found) > 1:
		return fmt.Errorf("%d exist with this name", len(found))
	case len(found) == 1:
		o = found[0]
	case dryRun:
		fmt.Fprintf(s.out, "+ %s %s\n", e.noun.name, e.name)
		return nil
	default:
		sign = "+"
		if o, err = s.makeEntry(ctx, e); err != nil {
			return err
		}
	}
	steps, err := s.differences(ctx, e, o)
	if err != nil {
		return err
	}
	var changes []string
	for _, step := range steps {
		changes = append(changes, step.what)
		if dryRun {
			continue
		}
		if err := s.api.Do(ctx, step.method, step.path, step.body, nil); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	if len(changes) > 0 && sign == "=" {
		sign = "~"
	}
	line := fmt.Sprintf("%s %s %s", sign, e.noun.name, e.name)
	if len(changes) > 0 {
		line += ": " + strings.Join(changes, "; ")
	}
	fmt.Fprintf(s.out, "%s (%.1fs)\n", line, time.Since(began).Seconds())
	return nil
}

func (s *session) makeEntry(ctx context.Context, e entry) (object, error) {
	body, err := s.body(ctx, e)
	if err != nil {
		return nil, err
	}
	if e.noun.name == "vm-instance" {
		if body["nics"], err = s.parseNics(ctx, e.nicSpecs()); err != nil {
			return nil, err
		}
	}
	o, err := s.create(ctx, e.noun, body)
	if err != nil || e.noun.name != "l3-network" {
		return o, err
	}
	cidr, _ := e.said["cidr"].(string)
	gateway, _ := e.said["gateway"].(string)
	return s.finishL3(ctx, o, cidr, gateway, e.words("services"))
}

// step is one call that brings an object in line.
type step struct {
	what, method, path string
	body               any
}

// differences are the steps from what is to what was said; an error names a
// difference that cannot be mended in place.
func (s *session) differences(ctx context.Context, e entry, o object) ([]step, error) {
	path := "/v1/" + e.noun.path + "/" + fmt.Sprint(o["uuid"])
	body, err := s.body(ctx, e)
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, f := range e.noun.fields {
		want, said := body[f.json]
		if !said || equal(want, o[f.json]) {
			continue
		}
		switch f.json {
		case "dns":
			steps = append(steps, step{fmt.Sprintf("dns %s -> %s", cell(o[f.json]), cell(want)), http.MethodPut, path + "/dns", object{"dns": want}})
		case "vmNicUuid":
			steps = append(steps, step{"attach to " + fmt.Sprint(e.said[f.flag]), http.MethodPost, path + "/vm-nics/" + fmt.Sprint(want), nil})
		default:
			return nil, fmt.Errorf("%s is %s and should be %s: that cannot be changed in place; delete it, or correct the file", f.flag, cell(o[f.json]), cell(want))
		}
	}
	more, err := s.extraDifferences(ctx, e, o, path)
	return append(steps, more...), err
}

func (s *session) extraDifferences(ctx context.Context, e entry, o object, path string) ([]step, error) {
	var steps []step
	for _, cluster := range e.words("clusters") {
		id, err := s.resolve(ctx, nounByName("cluster"), cluster)
		if err != nil {
			return nil, err
		}
		if attached, _ := o["attachedClusterUuids"].([]any); !slices.Contains(attached, any(id)) {
			steps = append(steps, step{"attach to cluster " + cluster, http.MethodPost, path + "/clusters/" + id, nil})
		}
	}
	if e.noun.name == "l3-network" {
		types, err := serviceTypes(e.words("services"))
		if err != nil {
			return nil, err
		}
		have, _ := at(o, "networkServices/VirtualRouter").([]any)
		types = slices.DeleteFunc(types, func(t string) bool { return slices.Contains(have, any(t)) })
		if len(types) > 0 {
			steps = append(steps, step{"attach services " + strings.Join(types, ","), http.MethodPost, path + "/network-services", object{"networkServices": object{"VirtualRouter": types}}})
		}
	}
	if state, ok := e.said["state"].(string); ok && o["state"] != state {
		action := map[string]string{"Running": "start", "Stopped": "stop"}[state]
		if action == "" {
			return nil, fmt.Errorf("state %q: want Running or Stopped", state)
		}
		steps = append(steps, step{action, http.MethodPost, path + "/actions?wait=" + url.QueryEscape(s.wait), object{"action": action}})
	}
	return steps, nil
}

// equal compares what YAML and JSON made of the same value.
func equal(want, have any) bool {
	return reflect.DeepEqual(want, have) || cell(want) == cell(have)
}
