package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/agent"
	"github.com/sluice-nfv/sluice/appliance/ledger"
)

// life is a router's agent, which may end and be started again: the kernel and
// the ledger stay.
type life struct {
	walker
	services Services
	dir      string
	agent    *agent.Agent
	end      func()
}

func newLife(t *rapid.T, s Services, dir string) *life {
	l := &life{walker: newWalker(s), services: s, dir: dir}
	l.start(t)
	return l
}

func (l *life) start(t *rapid.T) {
	book, err := ledger.Open(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	l.agent = agent.New(agent.Config{RouterUUID: "r", Version: "test", Router: checking{l.Router, l.services}, Ledger: book,
		HealEvery: time.Hour, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); l.agent.Run(ctx) }()
	l.end = func() { cancel(); <-ended }
}

// restart is a kill between two specs: what is known of the kernel is lost.
func (l *life) restart(t *rapid.T) {
	l.end()
	fresh := walkerOver(l.services, l.kernel)
	l.walker = fresh
	l.start(t)
	if err := l.agent.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// checking is a router that serves nothing, and checks for all services.
type checking struct {
	*Router
	all Services
}

func (c checking) Check(content agentv1.Content) (agent.Checked, error) {
	return NewRouter(nil, c.all, true, nil).Check(content)
}

// refusal is the code of a refused call; empty: it was taken.
func refusal(t *rapid.T, err error) string {
	var refused *agent.RefusedError
	if err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	if err == nil {
		return ""
	}
	return refused.Problem.Code
}

// TestAnAgentThatIsToldChanges, some of them wrong, and that is restarted at any
// time, has what one has that is told each spec whole.
func TestAnAgentThatIsToldChanges(t *testing.T) {
	services := NewServices(slog.New(slog.DiscardHandler))
	defer func() {
		for _, s := range services.Servers {
			_ = s.Close() // they served nothing
		}
	}()
	taken, refused, restarts := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "sl-walk")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		changed, whole := newLife(t, services, dir+"/changed"), newLife(t, services, dir+"/whole")
		defer func() { changed.end(); whole.end() }()
		now := agentv1.RouterSpec{Version: 1, RouterUUID: "r", Generation: 1, Fence: 1, Content: wired()}
		now.Hash = now.Content.Hash()
		for _, l := range []*life{changed, whole} {
			if _, err := l.agent.Put(t.Context(), encoded(t, now)); err != nil {
				t.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 6).Draw(t, "specs") {
			next := now
			next.Generation++
			next.Content = drawn(t, now.Content)
			next.Hash = next.Content.Hash()
			ch, _ := now.Content.Difference(next.Content)
			writes := changed.kernel.Writes
			part, err := changed.agent.Patch(t.Context(), encoded(t, agentv1.SpecChange{Version: 1, RouterUUID: "r", Generation: next.Generation, Fence: 1,
				BaseHash: now.Hash, Hash: next.Hash, Change: ch}))
			all, other := whole.agent.Put(t.Context(), encoded(t, next))
			if a, b := refusal(t, err), refusal(t, other); a != b {
				t.Fatalf("the change: %q (%v)\nthe whole: %q (%v)", a, err, b, other)
			}
			if err == nil {
				taken++
				if now = next; part.AppliedHash != all.AppliedHash || part.AppliedGeneration != next.Generation {
					t.Fatalf("the change: %+v\nthe whole: %+v", part, all)
				}
			} else if refused++; changed.kernel.Writes != writes || changed.agent.Accepted().Hash != now.Hash {
				t.Fatalf("refused, and changed to %+v", changed.agent.Accepted())
			}
			if rapid.Bool().Draw(t, "restart") {
				restarts++
				writes := changed.kernel.Writes
				if changed.restart(t); changed.kernel.Writes != writes {
					t.Fatalf("%d writes of a restarted agent", changed.kernel.Writes-writes)
				}
			}
			if a, b := changed.left(t), whole.left(t); a != b {
				t.Fatalf("changed:\n%s\nwhole:\n%s", a, b)
			}
		}
	})
	if t.Logf("%d taken, %d refused, %d restarts", taken, refused, restarts); taken < 20 || refused < 20 || restarts < 20 {
		t.Error("hardly anything was tried")
	}
}

func encoded(t *rapid.T, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(fmt.Errorf("encode: %w", err))
	}
	return b
}
