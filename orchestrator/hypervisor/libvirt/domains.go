package libvirt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// startTimeout bounds the start of a domain apart from other calls: the first one
// on a host may wait for libvirt to probe QEMU.
const startTimeout = 2 * time.Minute

// observed is a domain as libvirt has it.
type observed struct {
	dom golibvirt.Domain
	summary
	hypervisor.DomainStatus
}

// EnsureDomain implements hypervisor.Domains.
func (h *Host) EnsureDomain(ctx context.Context, d hypervisor.Domain) error {
	description, err := h.describe(ctx, d)
	if err != nil {
		return err
	}
	have, err := h.find(ctx, d.UUID)
	absent := hypervisor.IsNotFound(err)
	switch {
	case absent:
		if err := h.checkName(ctx, d); err != nil {
			return err
		}
	case err != nil:
		return err
	case !have.Owned:
		return h.notOurs(have)
	case h.matches(have, description) && have.State == hypervisor.Running:
		return nil
	}
	// Before anything is touched: a domain that cannot start replaces nothing.
	if err := h.checkVolumes(ctx, d); err != nil {
		return err
	}
	if absent {
		return h.create(ctx, d, description)
	}
	return h.replace(ctx, have, d, description)
}

func (h *Host) describe(ctx context.Context, d hypervisor.Domain) (string, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("describe domain %q: %w", d.Name, err)
	}
	poolPath, err := h.poolPath(ctx)
	if err != nil {
		return "", err
	}
	virtType, _, err := h.virtType(ctx)
	if err != nil {
		return "", err
	}
	return DomainXML(d, virtType, poolPath, h.config.Instance)
}

func (h *Host) replace(ctx context.Context, have observed, d hypervisor.Domain, description string) error {
	if err := h.stop(ctx, have.dom); err != nil {
		return err
	}
	if h.matches(have, description) {
		return h.start(ctx, have.dom)
	}
	// The name may differ, and libvirt refuses to redefine a UUID under another.
	if have.DomainStatus.Name != d.Name {
		if err := h.checkName(ctx, d); err != nil {
			return err
		}
	}
	if err := h.undefine(ctx, have.dom); err != nil {
		return err
	}
	return h.create(ctx, d, description)
}

// create defines and starts; what cannot start is not left behind.
func (h *Host) create(ctx context.Context, d hypervisor.Domain, description string) error {
	dom, err := ask(ctx, h.calls, "define domain "+d.Name, func(lv *golibvirt.Libvirt) (golibvirt.Domain, error) {
		return lv.DomainDefineXMLFlags(description, golibvirt.DomainDefineValidate)
	})
	if err != nil {
		return err
	}
	if err = h.start(ctx, dom); err == nil || hypervisor.IsUnreachable(err) || ctx.Err() != nil {
		return err
	}
	return errors.Join(err, h.undefine(ctx, dom))
}

func (h *Host) matches(have observed, description string) bool {
	wanted, err := parseSummary(description)
	if err != nil {
		return false
	}
	w, _ := wanted.markOf(h.config.Instance)
	m, ours := have.markOf(h.config.Instance)
	return ours && m.Spec == w.Spec
}

func (h *Host) checkName(ctx context.Context, d hypervisor.Domain) error {
	other, err := ask(ctx, h.calls, "find domain "+d.Name, func(lv *golibvirt.Libvirt) (golibvirt.Domain, error) {
		return lv.DomainLookupByName(d.Name)
	})
	if hypervisor.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("define domain %s on host %s: %w: domain %s already has this name; delete or rename it",
		d.Name, h.target.host, hypervisor.ErrConflict, uuid.UUID(other.UUID))
}

func (h *Host) start(ctx context.Context, dom golibvirt.Domain) error {
	return h.calls.callWithin(ctx, "start domain "+dom.Name, max(startTimeout, h.config.CallTimeout), func(lv *golibvirt.Libvirt) error {
		return ignore(lv.DomainCreate(dom), golibvirt.ErrOperationInvalid)
	})
}

// checkVolumes names every missing volume. Libvirt would report the first file it
// cannot open, by path.
func (h *Host) checkVolumes(ctx context.Context, d hypervisor.Domain) error {
	pool, err := h.storagePool(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range d.VolumeNames() {
		if _, err := h.volumeSize(ctx, pool, name); err != nil {
			errs = append(errs, fmt.Errorf("start domain %s: %w", d.Name, err))
		}
	}
	return errors.Join(errs...)
}

// StopDomain implements hypervisor.Domains.
func (h *Host) StopDomain(ctx context.Context, id string) error {
	have, err := h.findOurs(ctx, id)
	if err != nil || have.State == hypervisor.Absent {
		return err
	}
	return h.stop(ctx, have.dom)
}

// DeleteDomain implements hypervisor.Domains.
func (h *Host) DeleteDomain(ctx context.Context, id string) error {
	have, err := h.findOurs(ctx, id)
	if err != nil {
		return err
	}
	if have.State != hypervisor.Absent {
		if err := h.stop(ctx, have.dom); err != nil {
			return err
		}
		if err := h.undefine(ctx, have.dom); err != nil {
			return err
		}
	}
	return h.deleteConsole(ctx, id)
}

// GetDomain implements hypervisor.Domains.
func (h *Host) GetDomain(ctx context.Context, id string) (hypervisor.DomainStatus, error) {
	have, err := h.findOurs(ctx, id)
	return have.DomainStatus, err
}

// ListDomains implements hypervisor.Domains.
func (h *Host) ListDomains(ctx context.Context) ([]hypervisor.DomainStatus, error) {
	all, err := h.listAll(ctx)
	return slices.DeleteFunc(all, func(s hypervisor.DomainStatus) bool { return !s.Owned }), err
}

// ListGuests implements hypervisor.Observer.
func (h *Host) ListGuests(ctx context.Context) ([]hypervisor.DomainStatus, error) {
	all, err := h.listAll(ctx)
	return slices.DeleteFunc(all, func(s hypervisor.DomainStatus) bool {
		return s.Owned || (s.State != hypervisor.Running && s.State != hypervisor.Paused)
	}), err
}

func (h *Host) listAll(ctx context.Context) ([]hypervisor.DomainStatus, error) {
	doms, err := ask(ctx, h.calls, "list domains", func(lv *golibvirt.Libvirt) ([]golibvirt.Domain, error) {
		doms, _, err := lv.ConnectListAllDomains(1, golibvirt.ConnectListDomainsActive|golibvirt.ConnectListDomainsInactive)
		return doms, err
	})
	if err != nil {
		return nil, err
	}
	list := make([]hypervisor.DomainStatus, 0, len(doms))
	for _, dom := range doms {
		have, err := h.observe(ctx, dom)
		if hypervisor.IsNotFound(err) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, have.DomainStatus)
	}
	slices.SortFunc(list, func(a, b hypervisor.DomainStatus) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// findOurs is find, where a missing domain is Absent and another's is refused.
func (h *Host) findOurs(ctx context.Context, id string) (observed, error) {
	have, err := h.find(ctx, id)
	if hypervisor.IsNotFound(err) {
		return observed{DomainStatus: hypervisor.DomainStatus{UUID: id, State: hypervisor.Absent}}, nil
	}
	if err == nil && !have.Owned {
		err = h.notOurs(have)
	}
	return have, err
}

func (h *Host) notOurs(have observed) error {
	return fmt.Errorf("domain %s (%s) on host %s: %w: it was not made by %s", have.DomainStatus.Name,
		have.DomainStatus.UUID, h.target.host, hypervisor.ErrConflict, h.config.Instance)
}

func (h *Host) find(ctx context.Context, id string) (observed, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return observed{}, fmt.Errorf("%w domain uuid %q", hypervisor.ErrInvalid, id)
	}
	return h.observe(ctx, golibvirt.Domain{UUID: golibvirt.UUID(parsed), ID: -1})
}

// observe reads a domain in one go; libvirt looks it up by UUID in each call.
func (h *Host) observe(ctx context.Context, dom golibvirt.Domain) (observed, error) {
	id := uuid.UUID(dom.UUID).String()
	return ask(ctx, h.calls, "read domain "+id, func(lv *golibvirt.Libvirt) (observed, error) {
		dom, err := lv.DomainLookupByUUID(dom.UUID)
		if err != nil {
			return observed{}, err
		}
		state, reason, err := lv.DomainGetState(dom, 0)
		if err != nil {
			return observed{}, err
		}
		description, err := lv.DomainGetXMLDesc(dom, 0)
		if err != nil {
			return observed{}, err
		}
		return h.newObserved(dom, state, reason, description)
	})
}

func (h *Host) newObserved(dom golibvirt.Domain, state, reason int32, description string) (observed, error) {
	have := observed{dom: dom}
	var err error
	if have.summary, err = parseSummary(description); err != nil {
		return have, fmt.Errorf("parse domain %s: %w", dom.Name, err)
	}
	_, owned := have.markOf(h.config.Instance)
	have.DomainStatus = hypervisor.DomainStatus{UUID: uuid.UUID(dom.UUID).String(), Name: dom.Name, MACs: have.macs(), Owned: owned}
	have.State, have.Reason = stateOf(state, reason)
	return have, nil
}

func (h *Host) stop(ctx context.Context, dom golibvirt.Domain) error {
	return h.calls.call(ctx, "stop domain "+dom.Name, func(lv *golibvirt.Libvirt) error {
		return ignore(lv.DomainDestroy(dom), golibvirt.ErrOperationInvalid, golibvirt.ErrNoDomain)
	})
}

func (h *Host) undefine(ctx context.Context, dom golibvirt.Domain) error {
	return h.calls.call(ctx, "undefine domain "+dom.Name, func(lv *golibvirt.Libvirt) error {
		const everything = golibvirt.DomainUndefineManagedSave | golibvirt.DomainUndefineSnapshotsMetadata | golibvirt.DomainUndefineNvram
		return ignore(lv.DomainUndefineFlags(dom, everything), golibvirt.ErrNoDomain)
	})
}

// ignore drops answers that say that what was asked for is already so.
func ignore(err error, codes ...golibvirt.ErrorNumber) error {
	if answer, ok := errors.AsType[golibvirt.Error](err); ok && slices.Contains(codes, golibvirt.ErrorNumber(answer.Code)) {
		return nil
	}
	return err
}
