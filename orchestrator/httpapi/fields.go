package httpapi

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fields are the places in a struct by their JSON names, embedded ones too.
func fields(t reflect.Type) map[string][]int {
	if known, ok := fieldCache.Load(t); ok {
		return known.(map[string][]int)
	}
	found := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && !f.Anonymous && name != "" && name != "-" {
			found[name] = f.Index
		}
	}
	fieldCache.Store(t, found)
	return found
}

var fieldCache sync.Map // of reflect.Type to map[string][]int

// texts are a field's values as JSON shows them; a list has several, an object
// none.
func texts(v reflect.Value) []string {
	switch x := v.Interface().(type) {
	case time.Time:
		return []string{x.Format(time.RFC3339Nano)}
	case netip.Addr:
		if !x.IsValid() {
			return []string{""}
		}
		return []string{x.String()}
	case fmt.Stringer:
		return []string{x.String()}
	}
	switch v.Kind() {
	case reflect.String:
		return []string{v.String()}
	case reflect.Bool:
		return []string{strconv.FormatBool(v.Bool())}
	case reflect.Int, reflect.Int64:
		return []string{strconv.FormatInt(v.Int(), 10)}
	case reflect.Uint64:
		return []string{strconv.FormatUint(v.Uint(), 10)}
	case reflect.Slice:
		var all []string
		for i := range v.Len() {
			all = append(all, texts(v.Index(i))...)
		}
		return all
	}
	return nil
}

// sortKey is a text that sorts as the value does.
func sortKey(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Time:
		return x.UTC().Format("2006-01-02T15:04:05.000000000")
	case netip.Addr:
		b := x.As16() // the zero Addr is ::
		return fmt.Sprintf("%x", b[:])
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		return fmt.Sprintf("%020d", uint64(v.Int())^1<<63) // flipping the sign bit keeps the order
	case reflect.Uint64:
		return fmt.Sprintf("%020d", v.Uint())
	}
	return strings.Join(texts(v), ",")
}
