// Package hypervisor says what Sluice asks of a machine that runs routers: keep
// volumes, keep domains, tell what happens to them. The reconciler works against
// the interfaces here; libvirt/ fulfils them on real hosts and Fake in memory.
// Every Ensure and Delete is idempotent, every id is chosen by the caller, and
// each error answers to exactly one of IsUnreachable, IsNotFound, IsConflict,
// IsInvalid, or to none of them when the hypervisor itself refused.
package hypervisor
