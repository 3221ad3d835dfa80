package boot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// stopReason is why process 1 ends.
type stopReason int

const (
	stopPowerOff stopReason = iota
	stopReboot
)

func (r stopReason) String() string {
	if r == stopReboot {
		return "reboot"
	}
	return "power off"
}

// events are what process 1 reacts to.
type events struct {
	child chan os.Signal
	stop  chan stopReason
}

// listen subscribes to signals. It runs before anything else, because a signal
// without a handler is dropped by the kernel for process 1.
func listen() *events {
	ev := &events{child: make(chan os.Signal, 1), stop: make(chan stopReason, 1)}
	signal.Notify(ev.child, unix.SIGCHLD)
	asked := make(chan os.Signal, 4)
	// SIGINT is how the kernel reports ctrl-alt-del once its own immediate
	// reset is switched off.
	signal.Notify(asked, PowerOffSignal, RebootSignal, unix.SIGINT)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)
	go func() {
		for s := range asked {
			ev.request(reasonOf(s))
		}
	}()
	return ev
}

func reasonOf(s os.Signal) stopReason {
	if s == RebootSignal {
		return stopReboot
	}
	return stopPowerOff
}

// request asks for a stop; a second request while one is pending is dropped.
func (ev *events) request(r stopReason) {
	select {
	case ev.stop <- r:
	default:
	}
}

// watchPowerButton listens on every input device for the power key: the ACPI
// button, which is what `virsh shutdown` presses, is one of them.
func (ev *events) watchPowerButton() error {
	paths, err := filepath.Glob("/dev/input/event*")
	if err != nil || len(paths) == 0 {
		return errors.Join(err, errors.New("watch power button: no input device"))
	}
	var errs []error
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("watch power button: %w", err))
			continue
		}
		go func() {
			defer f.Close()
			if waitPowerKey(f) {
				ev.request(stopPowerOff)
			}
		}()
	}
	return errors.Join(errs...)
}

const (
	// inputEventSize is sizeof(struct input_event) on 64-bit kernels: two
	// 8-byte time fields, type, code, value (linux/input.h).
	inputEventSize = 24
	evKey          = 1
	keyPower       = 116
)

// waitPowerKey reads events until the power key is pressed; false when the
// device is gone.
func waitPowerKey(r io.Reader) bool {
	buf := make([]byte, inputEventSize)
	for {
		if _, err := io.ReadFull(r, buf); err != nil {
			return false
		}
		kind := binary.LittleEndian.Uint16(buf[16:])
		code := binary.LittleEndian.Uint16(buf[18:])
		value := binary.LittleEndian.Uint32(buf[20:])
		if kind == evKey && code == keyPower && value == 1 {
			return true
		}
	}
}

// halt ends the machine. Everything but process 1 is killed first, so that
// nothing sends packets with a half torn down configuration.
func halt(con *console, reason stopReason) {
	con.printf("%s uptime=%.2f", reason, uptime().Seconds())
	_ = unix.Kill(-1, unix.SIGKILL)
	unix.Sync()
	_ = unix.Unmount(ConfigDir, unix.MNT_DETACH)
	how := unix.LINUX_REBOOT_CMD_POWER_OFF
	if reason == stopReboot {
		how = unix.LINUX_REBOOT_CMD_RESTART
	}
	if err := unix.Reboot(how); err != nil {
		con.printf("%s: %v", reason, err)
	}
}
