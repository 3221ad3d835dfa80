package libvirt

import (
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

var update = flag.Bool("update", false, "write the golden files anew")

func sample() hypervisor.Domain {
	return hypervisor.Domain{
		UUID: "0199b7a0-0000-7000-8000-000000000001", Name: "vr-1", Title: "router of \"blue\" & <co>\nsecond line\x00",
		VCPUs: 1, MemoryMiB: 192,
		Boot:         hypervisor.Boot{Direct: &hypervisor.DirectBoot{Kernel: "kernel-1a2b", Initrd: "initrd-3c4d", Cmdline: `console=ttyS0 a="<&>"`}},
		ConfigVolume: "vr-1-config-5e6f.iso",
		Nics: []hypervisor.Nic{
			{MAC: "fa:16:3e:00:00:01", Bridge: "br-mgmt", MTU: 1500},
			{MAC: "fa:16:3e:00:00:02", Bridge: "br-vx-100", MTU: 1450},
		},
	}
}

func TestDomainXMLGolden(t *testing.T) {
	disk := sample()
	disk.Boot = hypervisor.Boot{Disk: "vr-1.qcow2"}
	bare := sample()
	bare.Nics, bare.ConfigVolume, bare.Title = nil, "", ""
	tests := []struct {
		file, virtType string
		domain         hypervisor.Domain
	}{
		{"direct-qemu.xml", VirtQEMU, sample()},
		{"disk-kvm.xml", VirtKVM, disk},
		{"bare-qemu.xml", VirtQEMU, bare},
	}
	for _, test := range tests {
		got, err := DomainXML(test.domain, test.virtType, "/var/lib/libvirt/images/sluice", "sluice")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", test.file)
		if *update {
			if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got+"\n" != string(want) {
			t.Errorf("%s differs; if that is wanted, run go test -update. got:\n%s", file, got)
		}
	}
}

// Whatever is typed as a title or command line comes out as text, never as markup.
func FuzzDomainXMLEscapes(f *testing.F) {
	f.Add("</title><devices/>", "a b")
	f.Add("]]>\x00\x1b\xff\u202e", `"><x y='`)
	f.Fuzz(func(t *testing.T, title, cmdline string) {
		d := sample()
		d.Title, d.Boot.Direct.Cmdline = title, cmdline
		got, err := DomainXML(d, VirtQEMU, "/pool", "sluice")
		if err != nil {
			if !hypervisor.IsInvalid(err) {
				t.Fatalf("refused without being invalid: %v", err)
			}
			return
		}
		var back struct {
			Title struct {
				Text     string     `xml:",chardata"`
				Children []xml.Name `xml:",any"`
			} `xml:"title"`
			Cmdline string `xml:"os>cmdline"`
		}
		if err := xml.Unmarshal([]byte(got), &back); err != nil {
			t.Fatalf("not XML: %v", err)
		}
		if back.Cmdline != cmdline || back.Title.Text != cleanTitle(title) || len(back.Title.Children) != 0 {
			t.Fatalf("title %q, command line %q came back as %+v", title, cmdline, back)
		}
		s, err := parseSummary(got)
		if err != nil || len(s.Nics) != 2 || s.Name != "vr-1" || len(s.Marks) != 1 {
			t.Fatalf("structure changed: %+v, %v", s, err)
		}
	})
}

func TestMarkFollowsContent(t *testing.T) {
	spec := func(change func(*hypervisor.Domain), virtType string) string {
		d := sample()
		change(&d)
		out, err := DomainXML(d, virtType, "/pool", "sluice")
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseSummary(out)
		if err != nil {
			t.Fatal(err)
		}
		m, ours := s.markOf("sluice")
		if _, others := s.markOf("other"); !ours || others {
			t.Fatalf("marks are %+v", s.Marks)
		}
		return m.Spec
	}
	same := func(*hypervisor.Domain) {}
	base := spec(same, VirtQEMU)
	if spec(same, VirtQEMU) != base {
		t.Error("the same domain has two marks")
	}
	changes := map[string]string{
		"memory": spec(func(d *hypervisor.Domain) { d.MemoryMiB++ }, VirtQEMU),
		"mtu":    spec(func(d *hypervisor.Domain) { d.Nics[0].MTU = 9000 }, VirtQEMU),
		"kernel": spec(func(d *hypervisor.Domain) { d.Boot.Direct.Kernel = "other" }, VirtQEMU),
		"config": spec(func(d *hypervisor.Domain) { d.ConfigVolume = "other" }, VirtQEMU),
		"virt":   spec(same, VirtKVM),
	}
	for what, mark := range changes {
		if mark == base {
			t.Errorf("the mark does not follow %s", what)
		}
	}
}

func TestCleanTitle(t *testing.T) {
	if got := cleanTitle(" a\nb\x00\tc\xff "); got != "a b  c" {
		t.Errorf("title is %q", got)
	}
	if got := cleanTitle(strings.Repeat("ü", 300)); len([]rune(got)) != 255 {
		t.Errorf("title of %d characters", len([]rune(got)))
	}
}
