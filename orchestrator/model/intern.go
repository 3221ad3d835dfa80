package model

import (
	"unique"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Intern lets a resource of which there may be a hundred thousand have little
// memory, before anybody else sees it: its own strings are one, and it names
// others by theirs.
func (v *View) Intern(r v1.Resource) {
	pack(r)
	v.share(r)
}

// pack moves the strings that are a resource's own to where nothing lies
// between them that decoding left: that would keep its memory from being given
// back.
func pack(r v1.Resource) {
	switch r := r.(type) {
	case *v1.VMInstance:
		same := r.Hostname == r.Name
		inOne(&r.UUID, &r.Name)
		if same {
			r.Hostname = r.Name
		}
		r.State = unique.Make(r.State).Value()
	case *v1.VMNic:
		inOne(&r.UUID, &r.MAC)
		r.Name = unique.Make(r.Name).Value()
	}
}

// inOne makes two strings parts of one.
func inOne(a, b *string) {
	n, both := len(*a), *a+*b
	*a, *b = both[:n], both[n:]
}

// share names other resources by their own strings: each copy of a UUID is 48
// bytes.
func (v *View) share(r v1.Resource) {
	switch r := r.(type) {
	case *v1.VMInstance:
		v.uuidOf(Accounts, &r.AccountUUID)
		v.uuidOf(Hosts, &r.HostUUID)
	case *v1.VMNic:
		v.uuidOf(Accounts, &r.AccountUUID)
		v.uuidOf(L3Networks, &r.L3NetworkUUID)
		v.uuidOf(VMs, &r.VMInstanceUUID)
	}
}

func (v *View) uuidOf(kind Kind, uuid *string) {
	if r, ok := v.tables[kind].Get(row{uuid: *uuid}); ok {
		*uuid = r.uuid
	}
}
