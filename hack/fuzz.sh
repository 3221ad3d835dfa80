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
[ "$found" -gt 0 ] || { echo "fuzz: no target found" >&2; exit 1; }
echo "fuzz: $found targets, nothing found"
