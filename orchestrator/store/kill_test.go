package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

const childDir = "SLUICE_STORE_TEST_DIR"

// TestMain is also the child of TestKill: it writes until it is killed, and
// prints each UUID once its commit was acknowledged.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func writeForEver(dir string) error {
	s, err := store.Open(context.Background(), store.Config{Dir: dir})
	if err != nil {
		return err
	}
	for {
		uuid := model.NewUUID()
		if _, err := s.Update(context.Background(), newZone(uuid)); err != nil {
			return err
		}
		fmt.Println(uuid)
	}
}

// TestKill: whatever was acknowledged before a kill -9 is there afterwards.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for round := range 3 {
		acknowledged = append(acknowledged, writeUntilKilled(t, dir, 20+30*round)...)
		s, err := store.Open(t.Context(), store.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for _, uuid := range acknowledged {
			if model.Get[v1.Zone](s.View(), uuid) == nil {
				t.Errorf("round %d: zone %s was acknowledged and is lost", round, uuid)
			}
		}
		if extra := s.View().Len(model.Zones) - len(acknowledged); extra < 0 || extra > round+1 {
			t.Errorf("round %d: %d zones more than acknowledged; one a kill may be", round, extra)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func writeUntilKilled(t *testing.T, dir string, after int) (acknowledged []string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env, child.Stderr = append(os.Environ(), childDir+"="+dir), os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		acknowledged = append(acknowledged, lines.Text())
		if len(acknowledged) == after {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // "signal: killed"
	if len(acknowledged) < after {
		t.Fatalf("the child ended after %d of %d", len(acknowledged), after)
	}
	return acknowledged
}
