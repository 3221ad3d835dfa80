package httpapi

import (
	"encoding/json"
	"maps"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// mergePatch is the body of PATCH: a JSON merge patch (RFC 7396) of one kind.
type mergePatch[T any, P model.Resources[T]] map[string]json.RawMessage

// Schema is that of the fields which change; null stands where it takes one
// away. Other fields are left to the model, which says why they do not change.
func (mergePatch[T, P]) Schema(r huma.Registry) *huma.Schema {
	resource := reflect.TypeFor[T]()
	s := &huma.Schema{
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{},
		Description: "JSON merge patch (RFC 7396): a field that is left out stays, null takes one away. Any other field is refused.",
	}
	at := maps.Collect(jsonFields(resource))
	for _, name := range model.Changeable(kindOf[T, P]()) {
		field := huma.SchemaFromField(r, at[name], resource.Name())
		if field.Ref == "" {
			field.Nullable = model.Optional(name)
		}
		if values, ok := field.AdditionalProperties.(*huma.Schema); ok { // of a map; null takes one key away
			values.Nullable = true
		}
		s.Properties[name] = field
	}
	s.PrecomputeMessages()
	return s
}
