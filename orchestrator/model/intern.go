package model

import (
	"unique"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Intern lets a resource of which there may be a hundred thousand have the
// strings that others have too, before anybody else sees it: each copy of a
// UUID is 48 bytes.
func (v *View) Intern(r v1.Resource) {
	switch r := r.(type) {
	case *v1.VMInstance:
		v.shareUUID(Accounts, &r.AccountUUID)
		v.shareUUID(Hosts, &r.HostUUID)
		shareText(&r.State)
		if r.Hostname == r.Name {
			r.Hostname = r.Name
		}
	case *v1.VMNic:
		v.shareUUID(Accounts, &r.AccountUUID)
		v.shareUUID(L3Networks, &r.L3NetworkUUID)
		v.shareUUID(VMs, &r.VMInstanceUUID)
		shareText(&r.Name)
	}
}

// shareUUID is the resource's own string, if there is the resource.
func (v *View) shareUUID(kind Kind, uuid *string) {
	if r, ok := v.tables[kind].Get(row{uuid: *uuid}); ok {
		*uuid = r.uuid
	}
}

// shareText is for what has few values.
func shareText(s *string) { *s = unique.Make(*s).Value() }
