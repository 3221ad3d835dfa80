package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/audit"
	"github.com/sluice-nfv/sluice/orchestrator/cli"
	"github.com/sluice-nfv/sluice/orchestrator/doctor"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/services/dhcp"
	"github.com/sluice-nfv/sluice/orchestrator/services/dns"
	"github.com/sluice-nfv/sluice/orchestrator/services/eip"
	"github.com/sluice-nfv/sluice/orchestrator/services/portforwarding"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts")

// script is one script's server, and what it has seen of it.
type script struct {
	*world
	server, token string
	api           *client.Client
	// seen are UUIDs and MACs in the order in which they were printed.
	seen map[string]string
}

type scriptKey struct{}

// The scripts in testdata run the command line in this process against the
// real API over a memory store. Besides testscript's own commands:
//
//	sluice ARGS...        has to succeed; `! sluice` has to fail with 1
//	usage ARGS...         has to end with 2
//	                      (raw is a file with its output as it was)
//	be FILE               go on with the token in the file
//	let VAR NOUN NAME     VAR is the UUID
//	world broken STAGE|works|silent|slow DURATION
//	(doctor finds the machine as facts.json says)
//	audited DIR HOST NAME a server on HOST records a call by NAME in DIR, and tells of it
//	plant ZONE NAME       another name for a zone, past all checks (Go escapes)
//
// UUIDs, MACs and hashes are printed as numbers in the order of their appearance.
func TestScripts(t *testing.T) { runScripts(t, "testdata", *update) }

func runScripts(t *testing.T, dir string, update bool) {
	testscript.Run(t, testscript.Params{
		Dir: dir, UpdateScripts: update,
		Setup: func(env *testscript.Env) error {
			s, err := newScript(env)
			env.Values[scriptKey{}] = s
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sluice": func(ts *testscript.TestScript, neg bool, args []string) {
				want := 0
				if neg {
					want = 1
				}
				of(ts).sluice(ts, want, args)
			},
			"usage":   func(ts *testscript.TestScript, _ bool, args []string) { of(ts).sluice(ts, 2, args) },
			"let":     func(ts *testscript.TestScript, _ bool, args []string) { of(ts).let(ts, args) },
			"world":   func(ts *testscript.TestScript, _ bool, args []string) { of(ts).steer(ts, args) },
			"be":      func(ts *testscript.TestScript, _ bool, args []string) { of(ts).token = ts.MkAbs(args[0]) },
			"audited": func(ts *testscript.TestScript, _ bool, args []string) { of(ts).audited(ts, args) },
			"plant":   func(ts *testscript.TestScript, _ bool, args []string) { of(ts).plant(ts, args) },
		},
	})
}

func of(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

func newScript(env *testscript.Env) (*script, error) {
	db := store.NewMemory(catalog)
	env.Defer(func() { db.Close() })
	s := &script{world: &world{store: db}, server: "unix://" + filepath.Join(env.WorkDir, "s"), token: filepath.Join(env.WorkDir, "token"), seen: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	token, err := httpapi.CreateToken(ctx, db.Private(), v1.Token{Name: "admin", Role: v1.RoleAdmin})
	if err != nil {
		cancel()
		return nil, err
	}
	api := httpapi.New(httpapi.Config{
		Store: db, Effects: s.world, Version: "server-version", Log: slog.New(slog.DiscardHandler),
		Planners: planners,
		Services: []func(*httpapi.API){dhcp.Routes, dns.Routes, eip.Routes, portforwarding.Routes},
	})
	served := make(chan error, 1)
	go func() { served <- api.Serve(ctx, httpapi.Listen{Socket: strings.TrimPrefix(s.server, "unix://")}) }()
	env.Defer(func() {
		cancel()
		if err := <-served; err != nil {
			env.T().Fatal(err)
		}
	})
	if s.api, err = client.New(client.Config{Server: s.server, Token: token}); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.token, []byte(token+"\n"), 0o600); err != nil {
		return nil, err
	}
	return s, s.answers(ctx)
}

func (s *script) answers(ctx context.Context) (err error) {
	for range 100 {
		if err = s.api.Do(ctx, http.MethodGet, "/readyz", nil, nil); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// sluice runs the command line. Files are those of the script's folder.
func (s *script) sluice(ts *testscript.TestScript, want int, args []string) {
	for i := range len(args) - 1 {
		if slices.Contains([]string{"-f", "--secret-file", "--token-file", "--dir"}, args[i]) && args[i+1] != "-" {
			args[i+1] = ts.MkAbs(args[i+1])
		}
	}
	ts.Check(s.tidy(context.Background()))
	var out, errOut bytes.Buffer
	all := append([]string{"--server", s.server, "--token-file", s.token}, args...)
	if len(args) > 0 && args[0] == "__complete" { // has to come first
		all = append(append([]string{"__complete"}, all[:4]...), args[1:]...)
	}
	doctor := cli.DoctorCommand(func(_ context.Context, f *doctor.Facts) {
		b, err := os.ReadFile(ts.MkAbs("facts.json"))
		ts.Check(err)
		ts.Check(json.Unmarshal(b, f))
	})
	got := cli.Main(context.Background(), "cli-version", all, &out, &errOut, doctor)
	ts.Check(os.WriteFile(ts.MkAbs("raw"), out.Bytes(), 0o600))
	fmt.Fprint(ts.Stdout(), s.plain(ts, out.String()))
	fmt.Fprint(ts.Stderr(), s.plain(ts, errOut.String()))
	if got != want {
		ts.Fatalf("sluice %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, want, out.String(), errOut.String())
	}
	for _, r := range out.String() + errOut.String() {
		if r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u202e' {
			ts.Fatalf("sluice %s prints the control character %q:\n%q", strings.Join(args, " "), r, out.String()+errOut.String())
		}
	}
}

var (
	changing = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b`)
	times    = regexp.MustCompile(`20\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z`)
	hashes   = regexp.MustCompile(`(?m)(^|[ "])([0-9a-f]{64}|[0-9a-f]{12})($|[ "])`)
	revision = regexp.MustCompile(`(revision\S*\s+)\d+`)
	orders   = regexp.MustCompile(`\border=\d+`)
	took     = regexp.MustCompile(`\(\d+\.\ds\)`)
)

// plain makes the output the same in every run, and as wide as it was.
func (s *script) plain(ts *testscript.TestScript, text string) string {
	text = changing.ReplaceAllStringFunc(text, func(id string) string {
		if _, ok := s.seen[id]; !ok {
			number := fmt.Sprintf("%012d", len(s.seen)+1)
			if len(id) == 36 {
				s.seen[id] = "00000000-0000-0000-0000-" + number
			} else {
				s.seen[id] = fmt.Sprintf("mac-%013d", len(s.seen)+1)
			}
		}
		return s.seen[id]
	})
	for range 2 { // neighbours share a space
		text = hashes.ReplaceAllStringFunc(text, func(m string) string {
			hash := strings.Trim(m, " \"")
			if _, ok := s.seen[hash]; !ok {
				s.seen[hash] = fmt.Sprintf("hash-%0*d", len(hash)-5, len(s.seen)+1)
			}
			return strings.Replace(m, hash, s.seen[hash], 1)
		})
	}
	text = orders.ReplaceAllString(text, "order=1")
	text = revision.ReplaceAllString(text, "${1}1")
	text = times.ReplaceAllString(text, "2026-01-02 03:04:05Z")
	return strings.ReplaceAll(took.ReplaceAllString(text, "(0.0s)"), ts.MkAbs("."), "$WORK")
}

func (s *script) let(ts *testscript.TestScript, args []string) {
	var out, errOut bytes.Buffer
	code := cli.Main(context.Background(), "", []string{"--server", s.server, "--token-file", s.token, args[1], "show", args[2], "-o", "json"}, &out, &errOut)
	m := regexp.MustCompile(`(?m)^  "uuid": "(.*)"`).FindStringSubmatch(out.String())
	if code != 0 || m == nil {
		ts.Fatalf("let: %s%s", out.String(), errOut.String())
	}
	ts.Setenv(args[0], m[1])
}

func (s *script) steer(ts *testscript.TestScript, args []string) {
	s.set(func() {
		switch args[0] {
		case "broken":
			s.broken = args[1]
		case "works":
			s.broken, s.silent, s.slow = "", false, 0
		case "silent":
			s.silent = true
		case "slow":
			d, err := time.ParseDuration(args[1])
			ts.Check(err)
			s.slow = d
		default:
			ts.Fatalf("world %s?", args[0])
		}
	})
}

// audited is what another server on the store leaves behind.
func (s *script) audited(ts *testscript.TestScript, args []string) {
	log, err := audit.Open(audit.Config{Dir: ts.MkAbs(args[0]), Host: args[1], Log: slog.New(slog.DiscardHandler)})
	ts.Check(err)
	defer log.Close()
	ctx := context.Background()
	number, err := log.Begin(ctx, v1.AuditCall{Actor: v1.AuditActor{ID: "token:" + args[2], Name: args[2]}, Method: "POST", Route: "/v1/zones"})
	ts.Check(err)
	log.End(number, v1.AuditOutcome{Status: http.StatusCreated})
	head := log.Head(ctx)
	note, err := json.Marshal(v1.AuditElsewhere{Server: args[1] + ":" + args[0], Head: head, Noted: time.Now()})
	ts.Check(err)
	ts.Check(s.store.Private().Put(ctx, "audit/heads/"+head.Chain, note))
}

// plant gives a zone a name that no rule would let in, as an old or a foreign
// server might hold it.
func (s *script) plant(ts *testscript.TestScript, args []string) {
	name, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	_, err = s.store.Update(context.Background(), func(tx *model.Tx) error {
		for z := range model.List[v1.Zone](tx.View) {
			if z.Name == args[0] {
				c := model.Copy(z)
				c.Name = name
				tx.Save(c)
				return nil
			}
		}
		return fmt.Errorf("no zone %s", args[0])
	})
	ts.Check(err)
}
