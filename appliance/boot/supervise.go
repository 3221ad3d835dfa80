package boot

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopGrace is how long the agent may take to end at a stop.
const stopGrace = 5 * time.Second

// supervisor keeps one child running. All its methods run in one goroutine,
// which is also the only one that waits for children: so a child that ends
// before its start has returned is never lost, and orphans never confuse it.
type supervisor struct {
	con     *console
	argv    []string
	spawn   func(argv []string) (pid int, err error)
	reap    func() (pid int, status unix.WaitStatus, ok bool)
	backoff backoff

	pid     int // 0: not running
	started time.Time
	retry   <-chan time.Time
}

func agentCommand(cmd cmdline) []string {
	argv := []string{cmd.Agent, "run", "--config", ConfigDir}
	if cmd.NoFlowtables {
		argv = append(argv, "--no-flowtables")
	}
	return argv
}

func newSupervisor(con *console, argv []string) *supervisor {
	return &supervisor{con: con, argv: argv, spawn: spawn, reap: reapOne}
}

// Supervise keeps argv running as process 1 keeps the agent, until SIGTERM: for
// measuring what a death of the agent costs, outside of a router.
func Supervise(argv []string) {
	ev := &events{child: make(chan os.Signal, 1), stop: make(chan stopReason, 1)}
	asked := make(chan os.Signal, 1)
	signal.Notify(ev.child, unix.SIGCHLD)
	signal.Notify(asked, unix.SIGTERM)
	go func() { ev.request(reasonOf(<-asked)) }()
	s := newSupervisor(&console{out: os.Stderr}, argv)
	s.start(time.Now())
	s.loop(ev)
}

// start starts the child, or schedules the next try if it can not.
func (s *supervisor) start(now time.Time) {
	s.retry, s.started = nil, now
	pid, err := s.spawn(s.argv)
	if err != nil {
		s.con.printf("start agent: %v", err)
		s.schedule(0)
		return
	}
	s.pid = pid
}

func (s *supervisor) schedule(lived time.Duration) {
	wait := s.backoff.next(lived)
	s.con.printf("restart agent in %v", wait)
	s.retry = time.After(wait)
}

// loop runs until a stop is asked for, then ends the child in order.
func (s *supervisor) loop(ev *events) stopReason {
	for {
		select {
		case <-ev.child:
			s.reapAll(time.Now())
		case now := <-s.retry:
			s.start(now)
		case reason := <-ev.stop:
			s.end(ev)
			return reason
		}
	}
}

// reapAll collects every ended child: ours, and orphans that were given to
// process 1. One signal may stand for many children.
func (s *supervisor) reapAll(now time.Time) {
	for {
		pid, status, ok := s.reap()
		if !ok {
			return
		}
		if pid != s.pid || pid == 0 {
			continue
		}
		s.pid = 0
		s.con.printf("agent ended: %s after %v", describe(status), now.Sub(s.started).Round(time.Millisecond))
		s.schedule(now.Sub(s.started))
	}
}

// end asks the child to stop, and kills it if it does not in time.
func (s *supervisor) end(ev *events) {
	if s.pid == 0 {
		return
	}
	_ = unix.Kill(s.pid, unix.SIGTERM)
	deadline := time.After(stopGrace)
	for s.pid != 0 {
		select {
		case <-ev.child:
			s.collect()
		case <-deadline:
			s.con.printf("agent did not stop in %v: killed", stopGrace)
			_ = unix.Kill(s.pid, unix.SIGKILL)
			return
		}
	}
}

// collect reaps without starting again.
func (s *supervisor) collect() {
	for {
		pid, _, ok := s.reap()
		if !ok {
			return
		}
		if pid == s.pid {
			s.pid = 0
		}
	}
}

// spawn starts argv with the console as its output and a session of its own,
// so that a signal to process 1's group never hits the agent.
func spawn(argv []string) (int, error) {
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env:   []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "TERM=dumb"},
		Files: []uintptr{0, os.Stdout.Fd(), os.Stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("exec %s: %w", argv[0], err)
	}
	return pid, nil
}

func reapOne() (int, unix.WaitStatus, bool) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		return pid, status, err == nil && pid > 0
	}
}

func describe(s unix.WaitStatus) string {
	if s.Signaled() {
		return "signal " + s.Signal().String()
	}
	return fmt.Sprintf("status %d", s.ExitStatus())
}
