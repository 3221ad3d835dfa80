package imagebuild

import (
	"slices"
	"strings"
)

// Recipe is all that decides what is in a router's template, apart from the
// agent and from which versions the package mirror holds.
type Recipe struct {
	// Format counts changes of the builder that change its output.
	Format int `json:"format"`
	// Architecture in Debian's terms.
	Architecture string `json:"architecture"`
	// Kernel is the meta package that names the current kernel package.
	Kernel string `json:"kernel"`
	// Packages are the packages that files are taken from. Dependencies are
	// not followed: a missing library fails the build by name.
	Packages []string `json:"packages"`
	// LoaderPackages hold the boot loader's parts; none of them is in the VM.
	LoaderPackages []string  `json:"loaderPackages"`
	Programs       []Program `json:"programs"`
	// Extensions are the names of iptables' loadable matches and targets.
	Extensions []string  `json:"extensions"`
	Modules    ModuleSet `json:"modules"`
	Dirs       []string  `json:"dirs"`
	Symlinks   []Symlink `json:"symlinks"`
	Texts      []Text    `json:"texts"`
	// Cmdline is what a VM of this template is booted with, verbatim.
	Cmdline []string `json:"cmdline"`
}

// Program is an executable of a package and the names it is called by.
type Program struct {
	Path  string   `json:"path"`
	Links []string `json:"links,omitempty"`
}

// Symlink and Text are entries that are in no package.
type Symlink struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// Text is a small file written as it is, mode 0644.
type Text struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

// ModuleSet names kernel modules by when they are loaded. Their dependencies
// are added by the build.
type ModuleSet struct {
	// Early modules are loaded before the agent starts: without them there is
	// no nic, no config drive and no entropy.
	Early []string `json:"early"`
	// Drive modules are loaded only if no virtio drive is the config drive.
	Drive []string `json:"drive"`
	// Filter modules are all that the agent's rules name. They are loaded
	// before it starts: loading them on demand costs a process each.
	Filter []string `json:"filter"`
	// Power modules report the power button. They are loaded last, while the
	// agent starts; then loading is closed.
	Power []string `json:"power"`
}

// All returns every named module, early ones first.
func (m ModuleSet) All() []string { return slices.Concat(m.Early, m.Drive, m.Filter, m.Power) }

// Default is the recipe of the router template. It returns a new value each
// time: callers may change theirs.
func Default() Recipe {
	return Recipe{
		Format:       2,
		Architecture: "amd64",
		Kernel:       "linux-image-cloud-amd64",
		Packages: words(`iptables nftables
			libbsd0 libc6 libedit2 libgmp10 libjansson4 libmd0
			libmnl0 libnftables1 libnftnl11 libtinfo6 libxtables12`),
		LoaderPackages: words(`grub-common grub-pc-bin`),
		Programs: []Program{
			{"usr/sbin/xtables-nft-multi", words(`iptables iptables-restore iptables-save`)},
			{"usr/sbin/nft", nil}, // prints the mappings for diagnostics
		},
		Extensions: words(`libipt_icmp libxt_DNAT libxt_MASQUERADE libxt_NAT libxt_REDIRECT libxt_SNAT
			libxt_comment libxt_conntrack libxt_standard libxt_tcp libxt_udp`),
		Modules:  defaultModules(),
		Dirs:     words(`dev etc mnt proc root run sys tmp usr/lib/sluice usr/sbin var/lib`),
		Symlinks: defaultSymlinks(),
		Texts: []Text{
			{"etc/passwd", "root:x:0:0:root:/:/nologin\nnobody:x:65534:65534:nobody:/:/nologin\n"},
			{"etc/group", "root:x:0:\nnogroup:x:65534:\n"},
			{"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
			{"etc/hosts", "127.0.0.1 localhost\n"},
		},
		Cmdline: defaultCmdline(),
	}
}

// defaultSymlinks merge the old top-level directories into /usr, as Debian
// does; programs look for /lib64. The kernel starts /init: the agent's binary is
// process 1's too.
func defaultSymlinks() []Symlink {
	return []Symlink{
		{"bin", "usr/bin"}, {"sbin", "usr/sbin"}, {"lib", "usr/lib"}, {"lib64", "usr/lib64"},
		{"var/run", "../run"},
		{"init", "usr/sbin/sluice-agent"},
	}
}

// defaultCmdline is chosen for a short boot without giving up a protection:
// CPU mitigations and address randomization stay on, they cost nothing that
// can be measured in an emulated VM and matter in a virtualized one.
func defaultCmdline() []string {
	return []string{
		"console=ttyS0",
		// Kernel messages below warnings stay off the port: it is slow.
		"quiet",
		// A router that can not go on is reset, by an oops too.
		"panic=1", "oops=panic",
		// Self-tests of cryptographic algorithms take 0.25 s under TCG and
		// test the kernel package, not this VM.
		"cryptomgr.notests",
		// On a loaded host an emulated timer can fail the boot-time check,
		// and the check's answer is a panic.
		"no_timer_check",
		// The rest is process 1's: what the agent's binary is to do there. Words
		// of your own belong before it.
		"--", "init",
	}
}

func words(s string) []string { return strings.Fields(s) }
