package agent

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// maxUnknown bounds the list: a thousand entries with one new field each tell
// no more than a few of them.
const maxUnknown = 32

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// unknownFields lists, as JSON pointers (RFC 6901), the object members in raw
// that t has no field for. raw has been parsed into t before, so it is valid.
func unknownFields(raw []byte, t reflect.Type) []string {
	var found []string
	walkUnknown(raw, t, "", &found)
	slices.Sort(found)
	return found
}

func walkUnknown(raw []byte, t reflect.Type, at string, found *[]string) {
	if len(*found) >= maxUnknown || reflect.PointerTo(t).Implements(textUnmarshaler) {
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		walkUnknown(raw, t.Elem(), at, found)
	case reflect.Struct:
		walkStruct(raw, t, at, found)
	case reflect.Slice, reflect.Array:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return // null, or a byte slice in base64
		}
		for i, item := range items {
			walkUnknown(item, t.Elem(), at+"/"+strconv.Itoa(i), found)
		}
	case reflect.Map:
		for key, value := range members(raw) {
			walkUnknown(value, t.Elem(), at+"/"+escapePointer(key), found)
		}
	}
}

func walkStruct(raw []byte, t reflect.Type, at string, found *[]string) {
	for key, value := range members(raw) {
		path := at + "/" + escapePointer(key)
		if field, ok := fieldByName(t, key); ok {
			walkUnknown(value, field, path, found)
		} else if len(*found) < maxUnknown {
			*found = append(*found, path)
		}
	}
}

func members(raw []byte) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

// fieldByName matches as encoding/json does: without regard to case.
func fieldByName(t reflect.Type, key string) (reflect.Type, bool) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && strings.EqualFold(name, key) {
			return t.Field(i).Type, true
		}
	}
	return nil, false
}

func escapePointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}
