package boot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseCmdline(t *testing.T) {
	def := cmdline{ConfigTimeout: defaultConfigTimeout, Agent: AgentPath}
	with := func(f func(*cmdline)) cmdline { c := def; f(&c); return c }
	for in, want := range map[string]cmdline{
		"":                        def,
		"console=ttyS0 quiet":     def,
		"sluice.config_timeout=0": with(func(c *cmdline) { c.ConfigTimeout = 0 }),
		"sluice.config_timeout=7 sluice.config_timeout=9\n": with(func(c *cmdline) { c.ConfigTimeout = 9 * time.Second }),
		"sluice.config_timeout=-1":                          def,
		"sluice.config_timeout=601":                         def,
		"sluice.config_timeout=x":                           def,
		"sluice.config_timeout":                             def,
		"sluice.hostname=r1 sluice.hostname=":               with(func(c *cmdline) { c.Hostname = "r1" }),
		"sluice.modules=open -- init":                       with(func(c *cmdline) { c.ModulesOpen = true }),
		"sluice.modules=open sluice.modules=closed":         def,
		"sluice.modules=":                                   def,
		"sluice.agent=bin/sh":                               def,
		"sluice.agent=/probe":                               with(func(c *cmdline) { c.Agent = "/probe" }),
	} {
		if got := parseCmdline(in); got != want {
			t.Errorf("%q: got %+v, want %+v", in, got, want)
		}
	}
}

func TestParseUptime(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"1.52 0.03\n": 1520 * time.Millisecond, "12": 12 * time.Second, "": 0, "x y": 0, "-3 1": 0,
	} {
		if got := parseUptime(in); got != want {
			t.Errorf("%q: got %v, want %v", in, got, want)
		}
	}
}

func TestHostname(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      defaultHostname,
		"{}":                                    defaultHostname,
		`{"hostname":"r-1"`:                     defaultHostname,
		`{"hostname":7}`:                        defaultHostname,
		`{"version":1,"hostname":"r-1"}` + "\n": "r-1",
		`{"hostname":"` + strings.Repeat("n", 99) + `"}`: strings.Repeat("n", 64),
	} {
		if got := hostnameFrom([]byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// isoImage makes the descriptors of a volume: one sector for each type, with
// the label in the primary one.
func isoImage(label string, types ...byte) []byte {
	img := make([]byte, isoFirstDescriptor*isoSector)
	for _, kind := range types {
		d := make([]byte, isoSector)
		d[0] = kind
		copy(d[1:], "CD001\x01")
		if kind == isoTypePrimary {
			copy(d[40:72], label+strings.Repeat(" ", 32))
		}
		img = append(img, d...)
	}
	return img
}

func TestVolumeLabel(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		r    io.ReaderAt
		want string
		err  error
	}{
		"primary first":   {bytes.NewReader(isoImage("cidata", 1, 255)), "cidata", nil},
		"boot record too": {bytes.NewReader(isoImage("CIDATA", 0, 1, 255)), "CIDATA", nil},
		"no primary":      {bytes.NewReader(isoImage("", 0, 255, 1)), "", errNotISO},
		"empty device":    {bytes.NewReader(nil), "", errNotISO},
		"short device":    {bytes.NewReader(isoImage("cidata", 1)[:isoSector*16+100]), "", errNotISO},
		"zeros":           {bytes.NewReader(make([]byte, 1<<20)), "", errNotISO},
		"endless":         {endless{}, "", errNotISO},
		"read error":      {failing{broken}, "", broken},
	} {
		got, err := volumeLabel(c.r)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %q, %v; want %q, %v", name, got, err, c.want, c.err)
		}
	}
}

// endless is a device on which every sector is a supplementary descriptor.
type endless struct{}

func (endless) ReadAt(p []byte, _ int64) (int, error) {
	copy(p, "\x02CD001")
	return len(p), nil
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestChooseDrive(t *testing.T) {
	labels := map[string]string{"vdb": "cidata", "vdc": "CIDATA", "vda": "root", "loop0": "cidata"}
	label := func(name string) (string, error) {
		if l, ok := labels[name]; ok {
			return l, nil
		}
		return "", errNotISO
	}
	if got := chooseDrive([]string{"vdc", "sr0", "vda", "loop0", "vdb"}, label); got != "vdb" {
		t.Errorf("got %q, want vdb", got)
	}
	if got := chooseDrive([]string{"vda", "sr0", "loop0"}, label); got != "" {
		t.Errorf("got %q, want none", got)
	}
}

func TestBackoff(t *testing.T) {
	var b backoff
	var got []time.Duration
	for range 9 {
		got = append(got, b.next(time.Second))
	}
	ms := time.Millisecond
	want := []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, backoffMax, backoffMax}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if w := b.next(steadyAfter); w != 0 {
		t.Errorf("after a steady life: got %v, want 0", w)
	}
}

// TestLoadAll goes on after a module that is missing, and names each.
func TestLoadAll(t *testing.T) {
	dir := t.TempDir()
	err := loadAll(dir, []string{"a/one.ko", "two.ko"})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir+"/a/one.ko") || !strings.Contains(err.Error(), dir+"/two.ko") {
		t.Errorf("got %v", err)
	}
	if err := loadAll(dir, nil); err != nil {
		t.Errorf("nothing to load: got %v", err)
	}
}

func TestParseList(t *testing.T) {
	got := parseList("a/b.ko\n\n # comment\n c.ko")
	if !slices.Equal(got, []string{"a/b.ko", "c.ko"}) {
		t.Errorf("got %q", got)
	}
}

func TestCloseModules(t *testing.T) {
	file := t.TempDir() + "/modules_disabled"
	if err := os.WriteFile(file, []byte("0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := setKernel(file, "1"); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "1\n" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := setKernel(file+"/none", "1"); err == nil || !strings.Contains(err.Error(), "/none") {
		t.Errorf("no such setting: got %v", err)
	}
}

func TestWaitPowerKey(t *testing.T) {
	event := func(kind, code uint16, value uint32) []byte {
		b := make([]byte, inputEventSize)
		binary.LittleEndian.PutUint16(b[16:], kind)
		binary.LittleEndian.PutUint16(b[18:], code)
		binary.LittleEndian.PutUint32(b[20:], value)
		return b
	}
	press, other := event(evKey, keyPower, 1), append(event(evKey, 30, 1), event(evKey, keyPower, 0)...)
	if !waitPowerKey(bytes.NewReader(append(slices.Clone(other), press...))) {
		t.Error("press was not seen")
	}
	if waitPowerKey(bytes.NewReader(append(other, press[:10]...))) {
		t.Error("half an event was taken for a press")
	}
}

func TestReason(t *testing.T) {
	if reasonOf(RebootSignal) != stopReboot || reasonOf(PowerOffSignal) != stopPowerOff || reasonOf(unix.SIGINT) != stopPowerOff {
		t.Error("wrong reason for a signal")
	}
}

func TestMainRefusesOtherProcesses(t *testing.T) {
	if got := Main(nil); got != 2 {
		t.Errorf("got status %d, want 2", got)
	}
}

// lineChan hands each console line to the test.
type lineChan chan string

func (l lineChan) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestSupervisor runs a real child that dies, is started again at once, and gets
// SIGTERM at the stop. (Orphans exist below process 1 only: see test/boot.)
func TestSupervisor(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("needs sh")
	}
	lines := make(lineChan, 64)
	marker := t.TempDir() + "/second"
	script := `if [ ! -e "$0" ]; then : >"$0"; exit 7; fi; trap 'exit 0' TERM; while :; do sleep 0.01; done`
	sup := newSupervisor(&console{out: lines}, []string{"/bin/sh", "-c", script, marker})
	ev := &events{child: make(chan os.Signal, 1), stop: make(chan stopReason, 1)}
	signal.Notify(ev.child, unix.SIGCHLD)
	defer signal.Stop(ev.child)
	sup.start(time.Now())
	done := make(chan stopReason, 1)
	go func() { done <- sup.loop(ev) }()
	expect(t, lines, "agent ended: status 7")
	expect(t, lines, "restart agent in 0s")
	time.Sleep(100 * time.Millisecond) // let the shell set its trap
	ev.request(stopReboot)
	select {
	case r := <-done:
		if r != stopReboot || sup.pid != 0 {
			t.Errorf("got %v, child %d", r, sup.pid)
		}
	case <-time.After(stopGrace + time.Second):
		t.Fatal("stop did not end")
	}
}

func TestSupervisorRetriesFailedStart(t *testing.T) {
	lines := make(lineChan, 64)
	sup := newSupervisor(&console{out: lines}, []string{"/nonexistent"})
	sup.start(time.Now())
	expect(t, lines, "start agent: exec /nonexistent")
	expect(t, lines, "restart agent in 0s")
	sup.start(<-sup.retry)
	expect(t, lines, "start agent")
	expect(t, lines, "restart agent in 100ms")
}

func expect(t *testing.T, lines lineChan, want string) {
	t.Helper()
	select {
	case got := <-lines:
		if !strings.HasPrefix(got, "sluice-init: ") || !strings.Contains(got, want) {
			t.Fatalf("got line %q, want %q", got, want)
		}
	case <-time.After(5 * time.Second):
		t.Fatalf("no line %q", want)
	}
}

func TestRoomForConnections(t *testing.T) {
	for memory, want := range map[uint64]string{32 << 20: "16384", 512 << 20: "131072", 64 << 30: "1048576"} {
		if got := connections(memory); got != want {
			t.Errorf("%d MiB: %s connections, want %s", memory>>20, got, want)
		}
	}
}
