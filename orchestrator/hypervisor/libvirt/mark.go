package libvirt

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"

	"libvirt.org/go/libvirtxml"
)

// markNamespace marks our domains. Libvirt keeps one element per namespace in a
// domain's metadata and gives it back unchanged.
const markNamespace = "https://sluice-nfv.github.io/xmlns/router/1"

// mark says which instance made a domain, and from which description.
type mark struct {
	XMLName  xml.Name `xml:"https://sluice-nfv.github.io/xmlns/router/1 router"`
	Instance string   `xml:"instance,attr"`
	Spec     string   `xml:"spec,attr"` // sha256 of the description without this mark
}

func newMark(instance, description string) mark {
	sum := sha256.Sum256([]byte(description))
	return mark{Instance: instance, Spec: hex.EncodeToString(sum[:])}
}

// metadata is written with a prefix because libvirt refuses elements in a default
// namespace inside metadata.
func (m mark) metadata() (*libvirtxml.DomainMetadata, error) {
	type prefixed struct {
		XMLName  xml.Name `xml:"sluice:router"`
		XMLNS    string   `xml:"xmlns:sluice,attr"`
		Instance string   `xml:"instance,attr"`
		Spec     string   `xml:"spec,attr"`
	}
	out, err := xml.Marshal(prefixed{XMLNS: markNamespace, Instance: m.Instance, Spec: m.Spec})
	if err != nil {
		return nil, err
	}
	return &libvirtxml.DomainMetadata{XML: string(out)}, nil
}

// summary is what is read back from any domain's XML, ours or not.
type summary struct {
	UUID  string `xml:"uuid"`
	Name  string `xml:"name"`
	Marks []mark `xml:"metadata>router"`
	Nics  []struct {
		MAC struct {
			Address string `xml:"address,attr"`
		} `xml:"mac"`
	} `xml:"devices>interface"`
}

func parseSummary(description string) (summary, error) {
	var s summary
	err := xml.Unmarshal([]byte(description), &s)
	return s, err
}

func (s summary) markOf(instance string) (mark, bool) {
	for _, m := range s.Marks {
		if m.XMLName.Space == markNamespace && m.Instance == instance {
			return m, true
		}
	}
	return mark{}, false
}

func (s summary) macs() []string {
	var macs []string
	for _, nic := range s.Nics {
		if nic.MAC.Address != "" {
			macs = append(macs, nic.MAC.Address)
		}
	}
	return macs
}
