package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/audit"
)

var auditList = &noun{
	name: "audit", path: "audit",
	columns: []string{"time", "state", "actor/name", "method", "route", "outcome/status", "outcome/code"},
	wide:    []string{"chain", "actor/id", "actor/role", "actor/address", "outcome/resources", "note"},
}

// auditCommand is what was changed over the API, and by whom.
func (s *session) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "who changed what, and whether that record is whole", Args: cobra.NoArgs,
		Long: `audit shows the server's record of calls that changed something or were refused.
Each is written before it is done, and each record carries the hash of the one
before: verify finds what was edited, moved or taken out. Whoever can write the
files can also write the end of a chain anew, so note its head elsewhere from
time to time, and verify against that.`,
	}
	cmd.AddCommand(s.listAuditCommand(), s.showAuditCommand(), s.headAuditCommand(), s.verifyAuditCommand())
	return cmd
}

func (s *session) showAuditCommand() *cobra.Command {
	var dirs []string
	cmd := &cobra.Command{
		Use: "show UUID", Short: "show one call: what was sent, without its secrets, and what it touched", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.open(cmd); err != nil {
				return err
			}
			id := strings.ToLower(args[0])
			if err := v1.ValidateUUID(id); err != nil {
				return usagef("%s: %w; see `sluice audit list -o wide`", cmd.CommandPath(), err)
			}
			if len(dirs) > 0 {
				found, _, err := audit.Read(dirs...).Find(cmd.Context(), audit.Query{ID: id, Limit: 1})
				if err == nil && len(found) == 0 {
					err = fmt.Errorf("there is no record %s in %s; see `sluice audit list -o wide --dir %s`", id, strings.Join(dirs, ", "), dirs[0])
				}
				if err != nil {
					return err
				}
				return s.print(auditList, recordObjects(found[:1]), true)
			}
			var o object
			if err := s.api.Do(cmd.Context(), http.MethodGet, "/v1/audit/"+id, nil, &o); err != nil {
				return err
			}
			return s.print(auditList, []object{o}, true)
		},
	}
	bindDirs(cmd, &dirs)
	return cmd
}

func (s *session) headAuditCommand() *cobra.Command {
	return &cobra.Command{
		Use: "head", Short: "print the newest record's place and hash, to be noted elsewhere", Args: cobra.NoArgs,
		Long: `head prints CHAIN:NUMBER:HASH. Noted where the server cannot write, it shows
later whether anything up to it was changed: sluice audit verify --expect HEAD`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.open(cmd); err != nil {
				return err
			}
			var head v1.AuditHead
			if err := s.api.Do(cmd.Context(), http.MethodGet, "/v1/audit-head", nil, &head); err != nil {
				return err
			}
			if s.output == "json" || s.output == "yaml" {
				return s.printValue(head)
			}
			_, err := fmt.Fprintln(s.out, head.Expect)
			return err
		},
	}
}

func (s *session) verifyAuditCommand() *cobra.Command {
	var expect, dirs []string
	cmd := &cobra.Command{
		Use: "verify", Short: "walk over the records and say where they are not what was written", Args: cobra.NoArgs,
		Long: `verify follows every chain of records from its beginning and names the first one
that is not what was written, with its file and line. It asks the server, or
with --dir reads files, also those of several servers, without one. The exit
code is 1 if a chain is damaged.`,
		Example: "  sluice audit verify\n  sluice audit verify --dir /var/lib/sluice/audit --expect $(cat head.noted)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.open(cmd); err != nil {
				return err
			}
			found, err := s.verifyAudit(cmd, expect, dirs)
			if err != nil {
				return err
			}
			return s.printVerification(found)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&expect, "expect", nil, "head that was noted before; may be given several times")
	bindDirs(cmd, &dirs)
	return cmd
}

func (s *session) verifyAudit(cmd *cobra.Command, expect, dirs []string) (found v1.AuditVerification, err error) {
	if len(dirs) == 0 {
		err = s.api.Do(cmd.Context(), http.MethodGet, "/v1/audit-verification?"+url.Values{"expect": expect}.Encode(), nil, &found)
		return found, err
	}
	var expected []audit.Expectation
	for _, head := range expect {
		e, err := audit.ParseExpectation(head)
		if err != nil {
			return found, usagef("%s: --expect: %w", cmd.CommandPath(), err)
		}
		expected = append(expected, e)
	}
	return audit.Read(dirs...).Verify(expected)
}

var errAuditDamaged = errors.New("the audit record is not what was written; keep a copy of its files, and find out who could write them")

func (s *session) printVerification(v v1.AuditVerification) error {
	if s.output == "json" || s.output == "yaml" {
		if err := s.printValue(v); err != nil {
			return err
		}
	} else {
		for _, c := range v.Chains {
			fmt.Fprintln(s.out, clean(verdict(c)))
		}
		s.tellElsewhere(v.Elsewhere)
	}
	if !v.Intact {
		return errAuditDamaged
	}
	return nil
}

func verdict(c v1.AuditChainReport) string {
	if d := c.Damage; d != nil {
		where := d.File
		if d.Line > 0 {
			where += fmt.Sprintf(" line %d", d.Line)
		}
		return fmt.Sprintf("%s: DAMAGED at record %d, %s: %s", c.Chain, d.Number, where, d.What)
	}
	text := fmt.Sprintf("%s: intact, %d records from %d on", c.Chain, c.Records, c.First)
	if c.Open > 0 {
		text += fmt.Sprintf(", %d calls without an end", c.Open)
	}
	if c.Head != nil {
		text += ", head " + c.Head.Expect
	}
	return text
}
