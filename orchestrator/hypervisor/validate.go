package hypervisor

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/google/uuid"
)

// MaxNics is how many PCI slots a domain keeps for nics.
const MaxNics = 16

var safeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Validate reports everything that is wrong with d at once. What passes can be
// written into a domain description and into file names as it is.
func (d Domain) Validate() error {
	errs := []error{
		checkUUID(d.UUID),
		checkName("name", d.Name, 64),
		inRange("vcpus", d.VCPUs, 1, 64),
		inRange("memory MiB", d.MemoryMiB, 32, 1<<20),
		inRange("nics", len(d.Nics), 0, MaxNics),
		d.Boot.validate(),
	}
	if d.ConfigVolume != "" {
		errs = append(errs, CheckVolumeName(d.ConfigVolume))
	}
	seen := map[string]bool{}
	for i, nic := range d.Nics {
		errs = append(errs, nic.validate(i))
		if seen[nic.MAC] {
			errs = append(errs, fmt.Errorf("%w nic %d: mac %s is used twice", ErrInvalid, i, nic.MAC))
		}
		seen[nic.MAC] = true
	}
	return errors.Join(errs...)
}

// CheckVolumeName accepts 1-128 of [A-Za-z0-9._-], starting with a letter or digit.
func CheckVolumeName(name string) error { return checkName("volume name", name, 128) }

// VolumeNames returns the volumes d needs, in the order of its fields.
func (d Domain) VolumeNames() []string {
	var names []string
	add := func(name string) {
		if name != "" {
			names = append(names, name)
		}
	}
	if b := d.Boot.Direct; b != nil {
		add(b.Kernel)
		add(b.Initrd)
	}
	add(d.Boot.Disk)
	add(d.ConfigVolume)
	return names
}

func (b Boot) validate() error {
	switch {
	case (b.Direct != nil) == (b.Disk != ""):
		return fmt.Errorf("%w boot: exactly one of direct and disk is needed", ErrInvalid)
	case b.Disk != "":
		return CheckVolumeName(b.Disk)
	}
	errs := []error{CheckVolumeName(b.Direct.Kernel), checkCmdline(b.Direct.Cmdline)}
	if b.Direct.Initrd != "" {
		errs = append(errs, CheckVolumeName(b.Direct.Initrd))
	}
	return errors.Join(errs...)
}

func (n Nic) validate(i int) error {
	var errs []error
	if mac, err := net.ParseMAC(n.MAC); err != nil || len(mac) != 6 || mac[0]&1 == 1 || mac.String() != n.MAC {
		errs = append(errs, fmt.Errorf("%w nic %d: mac %q is not a unicast address such as fa:16:3e:00:00:01", ErrInvalid, i, n.MAC))
	}
	if len(n.Bridge) > 15 || !safeName.MatchString(n.Bridge) {
		errs = append(errs, fmt.Errorf("%w nic %d: bridge %q is not an interface name", ErrInvalid, i, n.Bridge))
	}
	if n.MTU != 0 {
		errs = append(errs, inRange(fmt.Sprintf("nic %d mtu", i), n.MTU, 68, 65535))
	}
	return errors.Join(errs...)
}

func checkUUID(s string) error {
	if id, err := uuid.Parse(s); err != nil || id.String() != s {
		return fmt.Errorf("%w uuid %q: wants 36 lower case characters", ErrInvalid, s)
	}
	return nil
}

func checkName(what, name string, longest int) error {
	if len(name) > longest || !safeName.MatchString(name) {
		return fmt.Errorf("%w %s %q: wants 1-%d of letters, digits, '.', '_' and '-'", ErrInvalid, what, name, longest)
	}
	return nil
}

func checkCmdline(s string) error {
	unprintable := func(r rune) bool { return r < ' ' || r > '~' }
	if len(s) > 2047 || strings.IndexFunc(s, unprintable) >= 0 {
		return fmt.Errorf("%w kernel command line: wants at most 2047 printable ASCII characters", ErrInvalid)
	}
	return nil
}

func inRange(what string, got, low, high int) error {
	if got < low || got > high {
		return fmt.Errorf("%w %s %d: wants %d-%d", ErrInvalid, what, got, low, high)
	}
	return nil
}
