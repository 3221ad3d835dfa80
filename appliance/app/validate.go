package app

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// Validate checks a spec file as the agent would, without a router: whether
// it parses, and whether all services can plan it. ignored are unknown fields.
func Validate(path string) (spec agentv1.RouterSpec, ignored []string, err error) {
	in, err := readSpec(path)
	if err != nil {
		return agentv1.RouterSpec{}, nil, err
	}
	if in.Spec.Version > agentv1.SpecVersion {
		return in.Spec, in.Ignored, fmt.Errorf("spec version %d is newer than %d, the newest this binary knows", in.Spec.Version, agentv1.SpecVersion)
	}
	services := NewServices(slog.New(slog.DiscardHandler))
	defer func() {
		for _, s := range slices.Backward(services.Servers) {
			_ = s.Close() // they served nothing
		}
	}()
	_, err = NewRouter(nil, services, false, nil).Check(in.Spec.Content)
	return in.Spec, in.Ignored, err
}
