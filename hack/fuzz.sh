#!/bin/bash
# Runs every fuzz target for the given time (default 1m), one after the other.
# What a target finds is kept under its package's testdata/fuzz: commit it with
# the mend. The seeds of all targets run in `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
time=${1:-1m}

found=0
for package in $(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$package"/*_test.go | sed 's/^func //' | sort -u); do
		found=$((found + 1))
		echo "== $package $target ($time)"
		go test -tags nomsgpack -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
	done
done
# Whole packets, mutated blindly and fast.
for package in $(grep -rl 'wiretest.Mutated(' --include='*_test.go' . | xargs -n1 dirname | sort -u); do
	echo "== $package mutated packets (${MUTATIONS:-100000000})"
	SLUICE_MUTATIONS=${MUTATIONS:-100000000} go test -tags nomsgpack -count=1 -timeout 2h -run '^TestMutated$' -v "$package" | grep -E 'packets, seed|^(ok|FAIL|---)'
done
echo "== mutated packets on the wire (${WIRE_PACKETS:-10000000})"
if [ "$(id -u)" = 0 ]; then
	SLUICE_WIRE_PACKETS=${WIRE_PACKETS:-10000000} go test -tags nomsgpack -count=1 -timeout 2h -run '^TestMutatedOnTheWire$' -v ./test/scenario/dhcp ./test/scenario/dns 2>/dev/null | grep -E 'packets|^(ok|FAIL|---)'
else
	echo "not run: needs root, to make network namespaces"
fi
[ "$found" -gt 0 ] || { echo "fuzz: no target found" >&2; exit 1; }
echo "fuzz: $found targets, nothing found"
