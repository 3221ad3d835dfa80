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

step "unit and scenario tests"
log=$(mktemp)
if ! go test -v -count=1 -timeout 20m ./... >"$log" 2>&1; then
	grep -vE '^(=== |--- PASS|    --- PASS|PASS$|\?   )' "$log" >&2
	exit 1
fi
grep -E '^ok' "$log"

step "skipped, and why"
# go test prints the reason in the line before the verdict.
awk '/^ *--- SKIP/ { print "  " $3 ": " reason; n++ } { reason = $0; sub(/^ +/, "", reason) } END { print n + 0 " skipped" }' "$log"
rm -f "$log"

step "router template"
make --no-print-directory image

step "canary: the story on a real router"
SLUICE_VM=canary go test -count=1 -timeout 15m -v ./test/vm/
