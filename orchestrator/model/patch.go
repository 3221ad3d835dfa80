package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Patch changes a resource by a JSON merge patch (RFC 7396): a field that is
// left out stays, null takes an optional one away, objects are merged. It is
// taken whole or not at all. Codes: unknown-field, field-immutable,
// field-required, invalid-value, and those of the rules that create has for
// the fields.
func Patch(tx *Tx, kind Kind, uuid string, patch map[string]json.RawMessage) (v1.Resource, error) {
	before := tx.Any(kind, uuid)
	if before == nil {
		return nil, v1.NotFound(kind.Noun(), uuid)
	}
	after := copyOf(kind, before)
	fields := jsonFields(reflect.ValueOf(after).Elem())
	for _, name := range slices.Sorted(maps.Keys(patch)) {
		if err := mergeField(kind, fields, name, patch[name]); err != nil {
			return nil, err.On(uuid)
		}
	}
	if reflect.DeepEqual(before, after) {
		return before, nil
	}
	return after, tx.atomic(func() error {
		if err := checkChange(tx, kind, before, after); err != nil {
			return err
		}
		tx.Save(after)
		return nil
	})
}

// jsonFields are a struct's fields by their JSON names, embedded ones too.
func jsonFields(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && !f.Anonymous && name != "" && name != "-" {
			fields[name] = v.FieldByIndex(f.Index)
		}
	}
	return fields
}

func mergeField(kind Kind, fields map[string]reflect.Value, name string, patch json.RawMessage) *v1.Error {
	field, known := fields[name]
	if !known {
		return v1.Invalid("unknown-field", "a %s has no field %q; those that change are %s", kind.Noun(), name, strings.Join(Changeable(kind), ", "))
	}
	if !slices.Contains(Changeable(kind), name) {
		return v1.Refused("field-immutable", "%s of a %s is not changed: %s", name, kind.Noun(), whyImmutable(kind, name))
	}
	if string(patch) == "null" {
		if !Optional(name) {
			return v1.Invalid("field-required", "%s of a %s cannot be taken away; give it another value", name, kind.Noun())
		}
		field.SetZero()
		if field.Kind() == reflect.Slice { // shown as [] when empty
			field.Set(reflect.MakeSlice(field.Type(), 0, 0))
		}
		return nil
	}
	merged, err := merge(field.Interface(), patch)
	if err == nil {
		fresh := reflect.New(field.Type())
		dec := json.NewDecoder(bytes.NewReader(merged))
		dec.DisallowUnknownFields()
		if err = dec.Decode(fresh.Interface()); err == nil {
			field.Set(fresh.Elem())
			return nil
		}
	}
	return v1.Invalid("invalid-value", "%s of a %s: %v", name, kind.Noun(), err)
}

// merge is RFC 7396's MergePatch on a value and a patch that is not null.
func merge(have any, patch json.RawMessage) (json.RawMessage, error) {
	var change, target any
	if err := unmarshalNumbers(patch, &change); err != nil {
		return nil, err
	}
	b, err := json.Marshal(have)
	if err != nil {
		return nil, fmt.Errorf("encode what is there: %w", err)
	}
	if err := unmarshalNumbers(b, &target); err != nil {
		return nil, err
	}
	return json.Marshal(mergeAny(target, change))
}

func mergeAny(target, patch any) any {
	change, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for key, value := range change {
		if value == nil {
			delete(object, key)
		} else {
			object[key] = mergeAny(object[key], value)
		}
	}
	return object
}

func unmarshalNumbers(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(v)
}

// copyOf is Copy for a resource whose type is not known here.
func copyOf(kind Kind, r v1.Resource) v1.Resource {
	c := kind.New()
	reflect.ValueOf(c).Elem().Set(reflect.ValueOf(r).Elem())
	return c
}
