package model

import (
	"reflect"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Change is what may be changed of any resource; nil leaves a field alone.
type Change struct {
	Name        *string `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
	// State is the owner's word, for kinds that have one he may set.
	State *string `json:"state,omitempty" enum:"Enabled,Disabled,Maintenance"`
}

// Patch changes name, description or state. A state on a kind without one, or
// another word than the kind knows, is invalid-value.
func Patch(tx *Tx, kind Kind, uuid string, change Change) (v1.Resource, error) {
	r := tx.Any(kind, uuid)
	if r == nil {
		return nil, v1.NotFound(kind.Noun(), uuid)
	}
	c := copyOf(kind, r)
	m := c.GetMeta()
	if change.Name != nil {
		m.Name = *change.Name
	}
	if change.Description != nil {
		m.Description = *change.Description
	}
	if err := v1.ValidateName(m.Name); err != nil {
		return nil, err
	}
	if err := v1.ValidateDescription(m.Description); err != nil {
		return nil, err
	}
	if change.State != nil {
		if err := setState(kind, c, *change.State); err != nil {
			return nil, err
		}
	}
	if reflect.DeepEqual(c, r) {
		return r, nil
	}
	tx.Save(c)
	return c, nil
}

func setState(kind Kind, c v1.Resource, state string) error {
	allowed := []string{v1.Enabled, v1.Disabled}
	field := statePointer(c)
	if field == nil {
		return v1.Invalid("invalid-value", "the state of a %s is not set by a change; use its actions", kind.Noun())
	}
	if kind == Hosts {
		allowed = append(allowed, v1.Maintenance)
	}
	if _, err := oneOf("state", state, "", allowed...); err != nil {
		return err
	}
	*field = state
	return nil
}

// statePointer is where the owner's Enabled or Disabled is kept, or nil.
func statePointer(r v1.Resource) *string {
	switch r := r.(type) {
	case *v1.Zone:
		return &r.State
	case *v1.Cluster:
		return &r.State
	case *v1.Host:
		return &r.State
	case *v1.L3Network:
		return &r.State
	case *v1.Image:
		return &r.State
	case *v1.VirtualRouterOffering:
		return &r.State
	case *v1.VIP:
		return &r.State
	case *v1.EIP:
		return &r.State
	case *v1.PortForwardingRule:
		return &r.State
	}
	return nil
}

// copyOf is Copy for a resource whose type is not known here.
func copyOf(kind Kind, r v1.Resource) v1.Resource {
	c := kind.New()
	reflect.ValueOf(c).Elem().Set(reflect.ValueOf(r).Elem())
	return c
}
