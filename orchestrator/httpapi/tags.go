package httpapi

import (
	"context"
	"net/http"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

func (a *API) systemTags() {
	type tag struct{ Body v1.SystemTag }
	Handle(a, listOperation[v1.SystemTag]("list-system-tags", "/v1/system-tags", "List"), a.listTags)
	type add struct {
		DryRun
		Body v1.SystemTag
	}
	op := operation("create-system-tag", http.MethodPost, "/v1/system-tags", "Tag a resource")
	op.DefaultStatus = http.StatusCreated
	Handle(a, op, func(ctx context.Context, in *add) (*tag, error) {
		return &tag{in.Body}, a.changeTag(ctx, in.dry(), in.Body, model.AddSystemTag)
	})
	type remove struct {
		DryRun
		ResourceType string `query:"resourceType" required:"true"`
		ResourceUUID string `query:"resourceUuid" required:"true"`
		Tag          string `query:"tag" required:"true"`
	}
	Handle(a, operation("delete-system-tag", http.MethodDelete, "/v1/system-tags", "Take a tag off; a missing one is fine"),
		func(ctx context.Context, in *remove) (*Nothing, error) {
			return nil, a.changeTag(ctx, in.dry(), v1.SystemTag{ResourceType: in.ResourceType, ResourceUUID: in.ResourceUUID, Tag: in.Tag}, model.RemoveSystemTag)
		})
}

func (a *API) changeTag(ctx context.Context, dry bool, t v1.SystemTag, rule func(*model.Tx, model.Kind, string, string) error) error {
	kind, err := kindNamed(t.ResourceType)
	if err != nil {
		return err
	}
	if !callerOf(ctx).inScope(kind.String(), false) {
		return v1.Forbidden("outside-scope", "the token's scope does not include changes of %s", kind)
	}
	_, err = a.run(ctx, dry, func(tx *model.Tx) error {
		if err := tx.Claim(kind, t.ResourceUUID); err != nil {
			return err
		}
		return rule(tx, kind, t.ResourceUUID, t.Tag)
	})
	return err
}

// kindNamed finds a kind by its plural or singular.
func kindNamed(name string) (model.Kind, error) {
	for _, k := range model.Kinds() {
		if name == k.String() || name == k.Noun() {
			return k, nil
		}
	}
	return 0, v1.Invalid("unknown-resource-type", "resourceType %q is no kind of resource; use one such as l3-networks", shorten(name))
}

func (a *API) listTags(ctx context.Context, in *Query) (*Page[v1.SystemTag], error) {
	named := in.all["resourceType"]
	for i, name := range named { // as in a tag that is made, one or many
		kind, err := kindNamed(name)
		if err != nil {
			return nil, err
		}
		named[i] = kind.String()
	}
	found, view, caller := []*v1.SystemTag{}, a.view(ctx), callerOf(ctx)
	for _, kind := range model.Kinds() {
		if !caller.inScope(kind.String(), true) || len(named) > 0 && !slices.Contains(named, kind.String()) {
			continue
		}
		for r := range view.Seen(kind, "") {
			m := r.GetMeta()
			for _, t := range m.SystemTags {
				found = append(found, &v1.SystemTag{ResourceType: kind.String(), ResourceUUID: m.UUID, Tag: t})
			}
		}
	}
	return listOf(found, in, func(t *v1.SystemTag) string { return t.ResourceType + "/" + t.ResourceUUID + "/" + t.Tag })
}

// providers are built in, so they are listed and got but not made.
func (a *API) providers() {
	Handle(a, listOperation[v1.NetworkServiceProvider]("list-network-service-providers", "/v1/network-service-providers", "List"),
		func(_ context.Context, in *Query) (*Page[v1.NetworkServiceProvider], error) {
			return listOf(a.store.View().Catalog.Providers(), in, func(p *v1.NetworkServiceProvider) string { return p.UUID })
		})
	type input struct {
		UUID string `path:"uuid"`
	}
	type output struct{ Body *v1.NetworkServiceProvider }
	Handle(a, operation("get-network-service-provider", http.MethodGet, "/v1/network-service-providers/{uuid}", "Get"),
		func(_ context.Context, in *input) (*output, error) {
			all := a.store.View().Catalog.Providers()
			i := slices.IndexFunc(all, func(p *v1.NetworkServiceProvider) bool { return p.UUID == in.UUID })
			if i < 0 {
				return nil, v1.NotFound("network-service-provider", in.UUID)
			}
			return &output{all[i]}, nil
		})
}
