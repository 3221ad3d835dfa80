#!/bin/bash
# All tests: formatting, vet, unit and scenario tests, then one real router.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "format"
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "not formatted by gofmt: $unformatted" >&2; exit 1; }

step "vet"
go vet ./...

step "libvirt"
ours=no
hack/libvirt.sh status >/dev/null 2>&1 || ours=yes
hack/libvirt.sh start
cleanup() {
	# Only what this run started is stopped.
	[ "$ours" = yes ] && hack/libvirt.sh stop || true
}
trap cleanup EXIT

step "unit and scenario tests"
go test -count=1 -timeout 20m ./...

step "router template"
make --no-print-directory build
hack/image.sh

step "canary: the story on a real router"
SLUICE_VM=canary go test -count=1 -timeout 15m -v ./test/vm/
