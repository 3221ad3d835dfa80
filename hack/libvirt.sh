#!/bin/bash
# libvirt.sh gives this machine a working libvirtd, also where no init started one.
#
#   hack/libvirt.sh start    use the libvirtd that answers, else start virtlogd and libvirtd
#   hack/libvirt.sh stop     end only what start began; guests go on running
#   hack/libvirt.sh status   say what runs; exit 0 if libvirt answers, 3 if not
#
# Every command can be repeated. Environment:
#   SLUICE_LIBVIRT_RUN   where the pids are remembered  (default /run/sluice-libvirt)
#   SLUICE_LIBVIRT_LXC   1: start it so that lxc:/// works on a hybrid cgroup machine
set -euo pipefail

readonly run=${SLUICE_LIBVIRT_RUN:-/run/sluice-libvirt}
readonly socket=/run/libvirt/libvirt-sock
readonly uri=qemu:///system

say() { printf 'libvirt: %s\n' "$*"; }
fail() { printf 'libvirt: %s\n' "$*" >&2; exit 1; }

# virsh blocks for ever on a socket nobody serves, so every question has a deadline.
answers() { timeout "${1:-10}" virsh -q -c "$uri" version >/dev/null 2>&1; }

# A pid file names "pid start-time": a pid used again by another process is not ours.
started_at() { [[ -r /proc/$1/stat ]] && sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20; }
remember() { printf '%s %s\n' "$2" "$(started_at "$2")" >"$run/$1.pid"; }
ours() {
  local pid at
  [[ -r $run/$1.pid ]] || return 1
  read -r pid at <"$run/$1.pid" || return 1
  [[ -n $at && $(started_at "$pid") == "$at" ]] || return 1
  printf '%s\n' "$pid"
}

need() {
  local missing=()
  for tool in libvirtd virtlogd virsh tini qemu-system-x86_64 flock setsid; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  ((${#missing[@]} == 0)) && return
  fail "missing: ${missing[*]}; apt-get install --no-install-recommends qemu-system-x86 qemu-utils" \
    "libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu libvirt-daemon-driver-lxc tini util-linux"
}

# libvirt keeps its probe of QEMU only while the probe could open /dev/kvm as the
# QEMU user; root:root 0600 makes it probe again at every call (13 s a domain).
open_kvm() {
  [[ -c /dev/kvm ]] || return 0
  [[ $(stat -c %G:%a /dev/kvm) == kvm:660 ]] && return 0
  chgrp kvm /dev/kvm && chmod 660 /dev/kvm || say "warning: cannot give /dev/kvm to group kvm"
}

start_virtlogd() {
  ours virtlogd >/dev/null && return
  # Another virtlogd holds its own pid file; -d then fails and that one serves.
  virtlogd -d -p "$run/virtlogd.self" 2>/dev/null 9>&- || return 0
  for _ in $(seq 50); do
    [[ -s $run/virtlogd.self ]] && break
    sleep 0.1
  done
  remember virtlogd "$(cat "$run/virtlogd.self")"
}

# tini -s reaps: where process 1 does not, each of libvirt's QEMU probes waits 30 s
# for a zombie. With lxc, the unified hierarchy is hidden from libvirtd alone,
# because libvirt takes a hybrid layout for cgroup v2 and then finds no controllers.
start_libvirtd() {
  local command=(tini -s -- libvirtd)
  if [[ ${SLUICE_LIBVIRT_LXC:-} == 1 ]] && mountpoint -q /sys/fs/cgroup/unified; then
    command=(unshare -m --propagation slave sh -c 'umount /sys/fs/cgroup/unified; exec tini -s -- libvirtd')
  fi
  setsid "${command[@]}" </dev/null >>"$run/libvirtd.log" 2>&1 9>&- &
  remember libvirtd $!
}

wait_for_answer() {
  for _ in $(seq 60); do
    answers 5 && return
    ours libvirtd >/dev/null || fail "libvirtd ended: $(tail -n 3 "$run/libvirtd.log")"
    sleep 0.5
  done
  fail "libvirtd does not answer on $socket; see $run/libvirtd.log"
}

start() {
  need
  [[ $(id -u) == 0 ]] || fail "needs root to start libvirtd"
  mkdir -p "$run"
  exec 9>"$run/lock"
  flock -w 120 9 || fail "another hack/libvirt.sh has been at work for 120 s"
  if answers 10; then
    say "already answers on $socket"
    return
  fi
  if [[ -d /run/systemd/system ]]; then
    systemctl start libvirtd.socket || systemctl start libvirtd
    answers 30 || fail "systemd's libvirtd does not answer; see journalctl -u libvirtd"
    return
  fi
  open_kvm
  start_virtlogd
  start_libvirtd
  wait_for_answer
  say "answers on $socket (tini pid $(ours libvirtd))"
}

# TERM to tini reaches libvirtd alone; guests live on and are found again at the
# next start.
stop_one() {
  local pid
  if pid=$(ours "$1"); then
    kill "$pid"
    for _ in $(seq 100); do
      ours "$1" >/dev/null || break
      sleep 0.1
    done
    ours "$1" >/dev/null && fail "$1 (pid $pid) does not end"
    say "ended $1 (pid $pid)"
  fi
  rm -f "$run/$1.pid"
}

stop() {
  [[ -d $run ]] || { say "nothing was started here"; return; }
  exec 9>"$run/lock"
  flock -w 120 9 || fail "another hack/libvirt.sh has been at work for 120 s"
  stop_one libvirtd
  # virtlogd holds the consoles of running guests: ending it would end their logs.
  if pgrep -x qemu-system-x86 >/dev/null; then
    say "guests run: virtlogd stays"
  else
    stop_one virtlogd
  fi
}

status() {
  local pid
  for name in libvirtd virtlogd; do
    if pid=$(ours "$name"); then say "$name: started here, pid $pid"; fi
  done
  answers 10 || { say "no answer on $socket; run: hack/libvirt.sh start"; exit 3; }
  say "answers on $socket"
  virsh -q -c "$uri" version
}

case ${1:-} in
  start | stop | status) "$1" ;;
  *) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0"; exit 2 ;;
esac
