package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/audit"
)

// auditQuery is what the flags of a list ask for.
type auditQuery struct {
	account, actor, resource, since, until string
	limit                                  int
	dirs                                   []string
}

func (s *session) listAuditCommand() *cobra.Command {
	var q auditQuery
	cmd := &cobra.Command{
		Use: "list", Short: "list calls, newest first", Args: cobra.NoArgs,
		Long: `list shows the records in one server's directory, and says which other servers
on the same store keep records of their own. With --dir it reads files instead of
asking a server, those of several servers as one list.`,
		Example: "  sluice audit list --since 24h --actor red\n  sluice audit list --resource 0198f3c2-7d5a-7c3e-9a51-0d6f5a1b2c3d -o yaml\n  sluice audit list --dir /var/lib/sluice/audit --dir /mnt/host-b/audit",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.limit < 1 {
				return usagef("%s: --limit %d: want 1 or more", cmd.CommandPath(), q.limit)
			}
			if err := s.open(cmd); err != nil {
				return err
			}
			query, err := q.resolve(cmd, s)
			if err != nil {
				return err
			}
			if len(q.dirs) > 0 {
				return s.readAudit(cmd, query, q.dirs)
			}
			return s.listAudit(cmd, query)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.account, "account", "", "only calls with this account's tokens")
	f.StringVar(&q.actor, "actor", "", "only calls by this token, by its name or UUID, or by uid:0")
	f.StringVar(&q.resource, "resource", "", "only calls that named or touched this UUID")
	f.StringVar(&q.since, "since", "", "only calls since then: 90m, 24h, or 2006-01-02T15:04:05Z")
	f.StringVar(&q.until, "until", "", "only calls before then")
	f.IntVar(&q.limit, "limit", 100, "how many at most")
	bindDirs(cmd, &q.dirs)
	_ = cmd.RegisterFlagCompletionFunc("account", s.flagNames(nounByName("account"))) // fails for unknown flags
	return cmd
}

func bindDirs(cmd *cobra.Command, dirs *[]string) {
	cmd.Flags().StringSliceVar(dirs, "dir", nil, "read these directories, such as /var/lib/sluice/audit, instead of asking the server")
	_ = cmd.MarkFlagDirname("dir") // fails for unknown flags
}

// resolve is the query with the account's UUID and with times.
func (q auditQuery) resolve(cmd *cobra.Command, s *session) (audit.Query, error) {
	out := audit.Query{Account: q.account, Actor: q.actor, Resource: q.resource, Limit: q.limit}
	if q.account != "" && len(q.dirs) > 0 && v1.ValidateUUID(strings.ToLower(q.account)) != nil {
		return out, usagef("%s: --account %q: with --dir no server is asked for its UUID; give that", cmd.CommandPath(), q.account)
	}
	if q.account != "" {
		id, err := s.resolve(cmd.Context(), nounByName("account"), q.account)
		if err != nil {
			return out, err
		}
		out.Account = id
	}
	for name, at := range map[string]struct {
		text string
		time *time.Time
	}{"since": {q.since, &out.Since}, "until": {q.until, &out.Before}} {
		if at.text == "" {
			continue
		}
		var err error
		if *at.time, err = moment(at.text, time.Now()); err != nil {
			return out, usagef("%s: --%s %w", cmd.CommandPath(), name, err)
		}
	}
	return out, nil
}

// auditValues are the parameters of the call.
func auditValues(q audit.Query) url.Values {
	values := url.Values{}
	for name, value := range map[string]string{"account": q.Account, "actor": q.Actor, "resource": q.Resource} {
		if value != "" {
			values.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"since": q.Since, "until": q.Before} {
		if !at.IsZero() {
			values.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	return values
}

// listAudit follows the pages until there are enough.
func (s *session) listAudit(cmd *cobra.Command, query audit.Query) error {
	var all []object
	for q := auditValues(query); ; {
		q.Set("limit", strconv.Itoa(min(query.Limit-len(all), 1000)))
		var page struct {
			Items     []object            `json:"items"`
			Next      string              `json:"next"`
			Elsewhere []v1.AuditElsewhere `json:"elsewhere"`
		}
		if err := s.api.Do(cmd.Context(), http.MethodGet, "/v1/audit?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		all = append(all, page.Items...)
		if page.Next == "" || len(all) >= query.Limit {
			s.tellElsewhere(page.Elsewhere)
			return s.print(auditList, all, false)
		}
		q.Set("cursor", page.Next)
	}
}

// tellElsewhere says whose records were not looked at, beside what is printed.
func (s *session) tellElsewhere(all []v1.AuditElsewhere) {
	for _, e := range all {
		fmt.Fprintln(s.err, clean(fmt.Sprintf("not here: chain %s of %s, %d records when it last told, %s; ask that server, or read its files with --dir", e.Head.Chain, e.Server, e.Head.Number, e.Noted.Format(time.RFC3339))))
	}
}

// readAudit lists what stands in files.
func (s *session) readAudit(cmd *cobra.Command, q audit.Query, dirs []string) error {
	found, _, err := audit.Read(dirs...).Find(cmd.Context(), q)
	if err != nil {
		return err
	}
	return s.print(auditList, recordObjects(found[:min(len(found), max(q.Limit, 0))]), false)
}

func recordObjects(found []v1.AuditRecord) []object {
	all := make([]object, len(found))
	for i := range found {
		b, _ := json.Marshal(found[i]) // what was JSON a moment ago
		_ = json.Unmarshal(b, &all[i])
	}
	return all
}

// moment is a time, or how long ago it was.
func moment(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return at, fmt.Errorf("%q is neither a duration such as 24h nor a time such as 2006-01-02T15:04:05Z", text)
	}
	return at, nil
}
