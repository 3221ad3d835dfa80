#!/bin/sh
# Installs what the other targets need. Does nothing where it is there already.
# With the argument "bench" also what only benchmarks need.
set -eu
cd "$(dirname "$0")/.."

fail() { echo "setup: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "needs root: namespaces, bridges and libvirt are made; run it with sudo"
command -v go >/dev/null || fail "needs Go 1.26 or newer in PATH; see https://go.dev/dl"
version=$(go env GOVERSION | sed 's/^go1\.\([0-9]*\).*/\1/')
[ "$version" -ge 26 ] 2>/dev/null || fail "needs Go 1.26 or newer, $(go env GOVERSION) is here"
command -v apt-get >/dev/null || fail "needs Debian (apt-get); elsewhere install what hack/packages.txt lists and set SLUICE_SKIP_APT=1"

[ "${SLUICE_SKIP_APT:-}" = 1 ] && exit 0
wanted=$(grep -v '^#' hack/packages.txt)
[ "${1:-}" != bench ] || wanted="$wanted $(grep -v '^#' hack/packages-bench.txt)"
missing=
for package in $wanted; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
# Measured peers are run by the benchmarks alone, never as this machine's services.
if [ "${1:-}" = bench ] && [ ! -e /usr/sbin/policy-rc.d ]; then
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
fi
# No service of theirs is started here: hack/libvirt.sh starts libvirt where no
# init system does.
apt-get update -qq || fail "apt-get update failed: is a Debian mirror reachable?"
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/tmp/sluice-setup.log 2>&1 ||
	fail "apt-get install failed, see /tmp/sluice-setup.log"
if [ "${1:-}" = bench ] && [ -d /run/systemd/system ]; then
	for package in $missing; do
		case $package in
		unbound | kea-dhcp4-server | isc-dhcp-relay) systemctl disable --quiet "$package" ;;
		network-manager) systemctl disable --quiet NetworkManager ;;
		esac
	done
fi
