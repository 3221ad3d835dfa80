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
export DEBIAN_FRONTEND=noninteractive

# absent LIST...: packages of the lists that are not installed.
absent() {
	for package in $(grep -hv '^#' "$@"); do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf ' %s' "$package"
	done
}

updated=
update() {
	[ -n "$updated" ] || apt-get update -qq || fail "apt-get update failed: is a Debian mirror reachable?"
	updated=1
}

# install PACKAGE...
install() {
	[ $# -gt 0 ] || return 0
	echo "setup: installing $*"
	update
	apt-get install -y -qq --no-install-recommends "$@" >/tmp/sluice-setup.log 2>&1 ||
		fail "apt-get install failed, see /tmp/sluice-setup.log"
}

# peers PACKAGE...: installs servers that tests and benchmarks run themselves, and
# never this machine: none is started now, nor when it boots.
peers() {
	[ $# -gt 0 ] || return 0
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod 755 /usr/sbin/policy-rc.d
	fi
	install "$@"
	for service in $(dpkg -L "$@" | sed -n 's#^/etc/init.d/##p'); do
		update-rc.d "$service" disable >/dev/null 2>&1 || fail "cannot disable the service $service"
	done
}

# NetworkManager, whose DHCP client is tested, is taken out of its package and not
# installed: installed, it would take over this machine's links when it boots.
network_manager() {
	into=/var/cache/sluice/network-manager
	[ ! -x $into/usr/sbin/NetworkManager ] || return 0
	echo "setup: unpacking network-manager into $into"
	update
	mkdir -p $into
	if ! (cd $into && apt-get download -qq network-manager && dpkg-deb -x network-manager_*.deb . && rm -f network-manager_*.deb) >/tmp/sluice-setup.log 2>&1; then
		fail "cannot unpack network-manager, see /tmp/sluice-setup.log"
	fi
}

# No service of these is started here: hack/libvirt.sh starts libvirt where no
# init system does.
# shellcheck disable=SC2046
install $(absent hack/packages.txt)
lists=hack/packages-peers.txt
[ "${1:-}" != bench ] || lists="$lists hack/packages-bench.txt"
# shellcheck disable=SC2046,SC2086
peers $(absent $lists)
network_manager
