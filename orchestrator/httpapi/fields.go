package httpapi

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// field is what lists are filtered and sorted by: a value, or a list of them.
// Objects are neither.
type field struct {
	index []int
	// of is the type of the value, or of each in the list.
	of reflect.Type
	// enum are the values there can be, if they are few.
	enum []string
	uuid bool
}

// fields are those of a struct by their JSON names, embedded ones too.
func fields(t reflect.Type) map[string]field {
	if known, ok := fieldCache.Load(t); ok {
		return known.(map[string]field)
	}
	found := map[string]field{}
	for name, f := range jsonFields(t) {
		of := f.Type
		if of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if !isValue(of) {
			continue
		}
		known := field{index: f.Index, of: of, uuid: strings.HasSuffix(strings.ToLower(strings.TrimSuffix(name, "s")), "uuid")}
		if enum := f.Tag.Get("enum"); enum != "" {
			known.enum = strings.Split(enum, ",")
		}
		found[name] = known
	}
	fieldCache.Store(t, found)
	return found
}

// jsonFields yields the fields of a struct that JSON shows, embedded ones too, by
// their names there.
func jsonFields(t reflect.Type) iter.Seq2[string, reflect.StructField] {
	return func(yield func(string, reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.IsExported() && !f.Anonymous && name != "" && name != "-" && !yield(name, f) {
				return
			}
		}
	}
}

var fieldCache sync.Map // of reflect.Type to map[string]field

var (
	timeType   = reflect.TypeFor[time.Time]()
	addrType   = reflect.TypeFor[netip.Addr]()
	prefixType = reflect.TypeFor[netip.Prefix]()
)

func isValue(t reflect.Type) bool {
	return t == timeType || t == addrType || t == prefixType ||
		slices.Contains([]reflect.Kind{reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64}, t.Kind())
}

// canonical is a value that a caller wrote, as text writes it. Empty stands for
// what is absent.
func (f field) canonical(value string) (string, error) {
	if value == "" && (f.of.Kind() == reflect.String || f.of.Kind() == reflect.Struct) {
		return "", nil
	}
	var err error
	switch {
	case f.of == timeType:
		var at time.Time
		at, err = time.Parse(time.RFC3339Nano, value)
		value = text(reflect.ValueOf(at))
	case f.of == addrType:
		var ip netip.Addr
		ip, err = netip.ParseAddr(value)
		value = ip.String()
	case f.of == prefixType:
		var p netip.Prefix
		p, err = netip.ParsePrefix(value)
		value = p.String()
	case f.of.Kind() == reflect.Bool && value != "true" && value != "false":
		err = errors.New("want true or false")
	case f.of.Kind() == reflect.Uint64 || f.of.Kind() == reflect.Int || f.of.Kind() == reflect.Int64:
		var n int64
		if n, err = strconv.ParseInt(value, 10, 64); err != nil {
			return "", errors.New("want a whole number")
		}
		value = strconv.FormatInt(n, 10)
	case f.enum != nil && !slices.Contains(f.enum, value):
		err = fmt.Errorf("want one of %s", strings.Join(f.enum, ", "))
	case f.uuid && value != v1.Everybody:
		err = v1.ValidateUUID(value)
	}
	return value, err
}

// texts are a field's values as JSON shows them, times in UTC; what is absent is
// the empty text.
func texts(v reflect.Value) []string {
	if v.Kind() != reflect.Slice {
		return []string{text(v)}
	}
	all := make([]string, v.Len())
	for i := range all {
		all[i] = text(v.Index(i))
	}
	return all
}

func text(v reflect.Value) string {
	switch v.Kind() { // without an interface, which costs an allocation a row
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	}
	switch x := v.Interface().(type) {
	case time.Time:
		if x.IsZero() {
			return ""
		}
		return x.UTC().Format(time.RFC3339Nano)
	case netip.Addr:
		if !x.IsValid() {
			return ""
		}
		return x.String()
	case netip.Prefix:
		if !x.IsValid() {
			return ""
		}
		return x.String()
	}
	return fmt.Sprint(v.Interface())
}

// sortKey is a text that sorts as the value does; a list sorts as its first
// value, then the second, and so on.
func sortKey(v reflect.Value) string {
	if v.Kind() != reflect.Slice {
		return valueKey(v)
	}
	var b strings.Builder
	for i := range v.Len() {
		b.WriteString(valueKey(v.Index(i)))
		b.WriteByte(0)
	}
	return b.String()
}

func valueKey(v reflect.Value) string {
	if v.Kind() == reflect.String {
		return v.String()
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return x.UTC().Format("2006-01-02T15:04:05.000000000")
	case netip.Addr:
		return addrKey(x)
	case netip.Prefix:
		return fmt.Sprintf("%s/%03d", addrKey(x.Addr()), x.Bits()+1) // none has -1
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		return fmt.Sprintf("%020d", uint64(v.Int())^1<<63) // flipping the sign bit keeps the order
	case reflect.Uint64:
		return fmt.Sprintf("%020d", v.Uint())
	}
	return text(v)
}

func addrKey(ip netip.Addr) string {
	b := ip.As16() // the zero Addr is ::
	return fmt.Sprintf("%x", b[:])
}
