#!/bin/bash
# Runs a command with a libvirt that answers, and stops what it started for it.
#   hack/with-libvirt.sh COMMAND [ARGUMENT...]
set -euo pipefail
here=$(dirname "$0")

if ! "$here/libvirt.sh" status >/dev/null 2>&1; then
	trap '"$here/libvirt.sh" stop' EXIT
	"$here/libvirt.sh" start
fi
"$@"
