package v1

// SystemTag is a system tag of a resource: the body of POST /v1/system-tags,
// and an item of its list.
type SystemTag struct {
	ResourceType string `json:"resourceType" doc:"Plural or singular, such as l3-networks" example:"l3-networks"`
	ResourceUUID string `json:"resourceUuid"`
	Tag          string `json:"tag" minLength:"1" maxLength:"512" example:"virtualRouterOffering::0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f"`
}
