#!/bin/sh
# Builds the agent and the router template, if anything changed.
#   SLUICE_IMAGE_DIR   where the template goes     (/var/cache/sluice/image)
#   SLUICE_IMAGE_CACHE packages, unchanged parts   (/var/cache/sluice/image-cache)
#   SLUICE_AGENT       an agent binary to use instead of building one
#   SLUICE_VERIFY=1    boot the template afterwards
set -eu
cd "$(dirname "$0")/.."

out=${SLUICE_IMAGE_DIR:-/var/cache/sluice/image}
cache=${SLUICE_IMAGE_CACHE:-/var/cache/sluice/image-cache}
bin=$cache/bin

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need go golang
need apt-get apt
need dpkg-deb dpkg
need depmod kmod
need qemu-img qemu-utils
[ "${SLUICE_VERIFY:-0}" = 0 ] || need qemu-system-x86_64 qemu-system-x86
if [ -n "$missing" ]; then
	echo "image.sh: missing:$missing (apt-get install$missing)" >&2
	exit 1
fi
# A fresh container has no package lists, and apt then knows no kernel.
if ! apt-cache show --no-all-versions linux-image-cloud-amd64 >/dev/null 2>&1; then
	apt-get -qq update
fi

build() { CGO_ENABLED=0 go build -tags nomsgpack -trimpath -ldflags='-s -w' -o "$bin/$1" "$2"; }
mkdir -p "$bin"
build sluice-image ./imagebuild/cmd/sluice-image
if [ -n "${SLUICE_AGENT:-}" ]; then
	cp "$SLUICE_AGENT" "$bin/sluice-agent"
else
	build sluice-agent ./appliance/cmd/sluice-agent
fi

# What the template depends on: our binaries (the builder holds the recipe) and
# the packages of the mirror, which the builder looks up in the lists.
stamp=$(cat "$bin/sluice-image" "$bin/sluice-agent" | sha256sum | cut -d' ' -f1)
stamp=$stamp-$("$bin/sluice-image" packages | sha256sum | cut -d' ' -f1)
if [ -f "$out/manifest.json" ] && [ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ]; then
	echo "image.sh: $out is up to date"
else
	"$bin/sluice-image" build --agent "$bin/sluice-agent" --output "$out" --cache "$cache"
	echo "$stamp" >"$out/.stamp"
fi
[ "${SLUICE_VERIFY:-0}" = 0 ] || "$bin/sluice-image" verify "$out"
