package kerneltest

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

var update = flag.Bool("update", false, "write what is planned into the golden files")

// Golden plans every case in testdata/*.txtar: case.json is the content, with
// the interfaces of base.json in testdata/base.txtar where it has none; want
// is the plan or the error, with the field to blame. Links are the interfaces' names in the spec, except
// where a nic is called "absent".
func Golden(t *testing.T, plan func(agentv1.Content, dataplane.Links) (dataplane.Want, error)) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) < 2 {
		t.Fatal("no cases in testdata")
	}
	base := part(t, "testdata/base.txtar", "base.json")
	for _, file := range files {
		if strings.HasSuffix(file, "base.txtar") {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			var c, usual agentv1.Content
			if err := errors.Join(json.Unmarshal(base, &usual), json.Unmarshal(part(t, file, "case.json"), &c)); err != nil {
				t.Fatal(err)
			}
			if c.Interfaces == nil {
				c.Interfaces = usual.Interfaces
			}
			got := planned(c, plan)
			if *update {
				write(t, file, got)
			}
			if want := string(part(t, file, "want")); got != want {
				t.Errorf("planned:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func planned(c agentv1.Content, plan func(agentv1.Content, dataplane.Links) (dataplane.Want, error)) string {
	links := dataplane.Links{}
	for _, i := range c.Interfaces {
		if i.Name != "absent" {
			links[i.MAC] = i.Name
		}
	}
	w, err := plan(c, links)
	if field := (*dataplane.FieldError)(nil); err != nil && !errors.As(err, &field) {
		return "not a field error: " + err.Error() + "\n"
	}
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	return w.String()
}

func part(t *testing.T, file, name string) []byte {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func write(t *testing.T, file, got string) {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Files {
		if a.Files[i].Name == "want" {
			a.Files[i].Data = []byte(got)
		}
	}
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}
