package boot

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// Paths that the image and this package agree on.
const (
	// ListDir holds the module lists, one path a line, relative to the
	// running kernel's module directory, in load order.
	ListDir = "/usr/lib/sluice"
	// ConfigDir is where the config drive is mounted, read-only.
	ConfigDir = "/run/sluice/config"
	// AgentPath is the binary that is supervised, by default.
	AgentPath = "/sbin/sluice-agent"
	// ReadyLine starts the console line that says the agent was started. It is
	// followed by ` uptime=<seconds>`.
	ReadyLine = "sluice-init: ready"
)

// lateNice gives background work a sixtieth of a busy CPU.
const lateNice = 19

// Signals that other processes of the router may send to process 1.
const (
	// PowerOffSignal stops the agent in order and powers the VM off.
	PowerOffSignal = unix.SIGTERM
	// RebootSignal stops the agent in order and resets the VM.
	RebootSignal = unix.SIGUSR1
)

// Main runs process 1 and does not return there. Anywhere else it changes
// nothing, says so, and returns exit status 2: mounting over a developer's
// /proc would be a bad surprise.
func Main(args []string) int {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "sluice-init: refused: only process 1 of a router may run init")
		return 2
	}
	con := &console{out: os.Stderr}
	defer func() {
		// A dying process 1 is a kernel panic without our stack trace on the
		// console: print it first, then let the kernel's panic=1 reset the VM.
		if r := recover(); r != nil {
			con.printf("panic: %v\n%s", r, debug.Stack())
			time.Sleep(time.Second)
			os.Exit(1)
		}
	}()
	reason := run(con)
	halt(con, reason)
	return 1
}

// run goes through the start-up steps and supervises the agent until a power
// request. No step's failure ends it: a router that is half up and says so on
// its console can be diagnosed, one that resets in a loop can not.
func run(con *console) stopReason {
	events := listen()
	report(con, mountAll(systemMounts))
	cmd := readCmdline("/proc/cmdline")
	report(con, errors.Join(
		os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0o644),
		noRequests(),
		loopbackUp(),
	))
	reportModules(con, loadList("early"))
	found, err := attachConfig(cmd.ConfigTimeout, con)
	report(con, err)
	report(con, setHostname(cmd, ConfigDir))

	// Before the agent: its first rules need nearly all of them, and on one CPU
	// loading them meanwhile would only take turns with it.
	reportModules(con, loadList("filter"))
	report(con, sizeConnections())
	sup := newSupervisor(con, agentCommand(cmd))
	sup.start(time.Now())
	con.printf("ready uptime=%.2f", uptime().Seconds())
	go finish(con, events, found, cmd.ModulesOpen)
	return sup.loop(events)
}

// finish is the work that nobody has to wait for at start-up: the power button,
// closing the door to modules, and a config drive that comes after the timeout.
func finish(con *console, events *events, found, modulesOpen bool) {
	// At a low priority, which Linux keeps by thread: on one CPU the agent's
	// start would otherwise wait for it. Not SCHED_IDLE: an agent that is busy
	// for ever must not keep the power button from working.
	runtime.LockOSThread()
	report(con, unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), lateNice))
	reportModules(con, loadList("power"))
	if modulesOpen {
		con.printf("modules can be loaded: sluice.modules=open")
	} else {
		report(con, closeModules())
	}
	report(con, events.watchPowerButton())
	for !found {
		time.Sleep(time.Second)
		found, _ = mountConfig()
	}
}

// reportModules says that something will be missing for good.
func reportModules(con *console, err error) {
	if err != nil {
		con.printf("needed and not loaded: %v", err)
	}
}

func report(con *console, err error) {
	if err != nil {
		con.printf("%v", err)
	}
}
