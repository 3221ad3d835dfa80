package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// pollEvery is how often progress is looked at.
const pollEvery = 500 * time.Millisecond

// stage is how far an object has come.
type stage struct{ name, text string }

// watch runs a call that may take long and meanwhile says on stderr how far it
// has come: on a terminal in one line that changes, elsewhere in a line for
// each change. A call that is quick says nothing.
func (s *session) watch(ctx context.Context, stages func(context.Context) []stage, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	p := newProgress(s.err)
	defer p.end()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
		if stages != nil {
			ctx, cancel := context.WithTimeout(ctx, 4*pollEvery)
			p.show(stages(ctx))
			cancel()
		}
	}
}

// stages of the routers behind an object; nil for nouns without. What cannot
// be read is left out: the call itself tells what is wrong.
func (s *session) stages(n *noun, id string) func(context.Context) []stage {
	switch n.name {
	case "virtual-router":
		return func(ctx context.Context) []stage {
			var r v1.VirtualRouter
			if err := s.api.Do(ctx, http.MethodGet, "/v1/virtual-routers/"+id, nil, &r); err != nil {
				return nil
			}
			return []stage{stageOf(&r)}
		}
	case "vm-instance":
		return func(ctx context.Context) []stage { return s.stagesOfVM(ctx, id) }
	}
	return nil
}

func (s *session) stagesOfVM(ctx context.Context, id string) []stage {
	var vm v1.VMInstance
	if err := s.api.Do(ctx, http.MethodGet, "/v1/vm-instances/"+id, nil, &vm); err != nil {
		return nil
	}
	routers, err := client.List[v1.VirtualRouter](ctx, s.api, "/v1/virtual-routers", nil)
	if err != nil {
		return nil
	}
	var out []stage
	for i := range routers {
		if slices.ContainsFunc(vm.Nics, func(nic v1.VMNic) bool { return nic.L3NetworkUUID == routers[i].L3NetworkUUID }) {
			out = append(out, stageOf(&routers[i]))
		}
	}
	return out
}

// stageOf is a router's way to serving, in a few words.
func stageOf(r *v1.VirtualRouter) stage {
	if plan.IsReady(r) {
		return stage{r.Name, "serving"}
	}
	text := r.State + ", " + r.Status
	if r.State == v1.StateCreating {
		text = "Creating"
	}
	var past []string
	for _, c := range r.Conditions {
		switch {
		case c.Status == v1.False && c.Type != v1.ReadyCondition:
			return stage{r.Name, fmt.Sprintf("%s failed, it is tried again: %s", c.Type, c.Message)}
		case c.Status == v1.True && c.DurationMs > 0:
			past = append(past, c.Type+" "+duration(c.DurationMs))
		}
	}
	if len(past) > 0 {
		text += " (" + strings.Join(past, ", ") + ")"
	}
	return stage{r.Name, text}
}

// progress writes stages.
type progress struct {
	to    io.Writer
	width int // of the terminal, in columns; 0: it is none
	began time.Time
	last  map[string]string
	shown bool
}

func newProgress(to io.Writer) *progress {
	p := &progress{to: to, began: time.Now(), last: map[string]string{}}
	if f, ok := to.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			p.width = max(int(size.Col), 20)
		}
	}
	return p
}

func (p *progress) show(stages []stage) {
	var parts []string
	for _, st := range stages {
		part := clean(st.name + ": " + st.text)
		parts = append(parts, part)
		if p.width == 0 && p.last[st.name] != st.text {
			fmt.Fprintln(p.to, part)
		}
		p.last[st.name] = st.text
	}
	if p.width == 0 || len(parts) == 0 {
		return
	}
	line := fmt.Sprintf("%.0fs %s", time.Since(p.began).Seconds(), strings.Join(parts, "; "))
	if utf8.RuneCountInString(line) >= p.width {
		line = string([]rune(line)[:p.width-2]) + "…"
	}
	fmt.Fprint(p.to, "\r\x1b[K"+line)
	p.shown = true
}

// end takes the line off the terminal: the result comes next.
func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
