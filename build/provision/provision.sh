#!/usr/bin/env bash
# Installs what holdfast needs on a Debian machine to be run, tested and checked:
# Debian packages where Debian has them, and pinned Go programs in .tools/bin.
#
#   build/provision/provision.sh [--only run|test|lint|packages|release|chroot|vm|image]
#
#   run   a container runtime: runc, containerd with its shim, ctr
#   test  run, and what the tests want: a C compiler for the race detector,
#         mosquitto, user-mode emulation for arm, systemd-analyze, network plugins,
#         promtool, and a browser with what drives it
#   lint  golangci-lint
#   packages  nfpm, and what reads manual pages
#   release   packages, and what starts the programs of a release to ask who they are (make release)
#   chroot    packages, and what they are installed in (make packages-test)
#   vm    run, and what makes and starts a machine of its own (make vm)
#   image run, and what makes images of gateways' disks and starts them (make image, make soak-boot)
#
# Without --only, all of them but release, chroot, vm and image. What is there already is left alone, so a second run
# changes nothing and takes a fraction of a second. Nothing is written outside the
# checkout but Debian packages and Go's own caches.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=${HOLDFAST_TOOLS:-$repo/.tools}
bin=$tools/bin
# shellcheck source=versions
source "$repo/build/provision/versions"
# Where Debian keeps daemons; a plain shell may not look there.
export PATH="$PATH:${HOLDFAST_SBIN-/usr/sbin:/sbin}"

say() { printf 'provision: %s\n' "$*"; }
die() {
	printf 'provision: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

# need_commands notes the Debian package of each command that is not there.
# Arguments: pairs of command and package.
missing=()
need_commands() {
	while [ $# -gt 0 ]; do
		command -v "$1" >/dev/null 2>&1 || missing+=("$2")
		shift 2
	done
}

install_missing() {
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null 2>&1 ||
		die "cannot install ${missing[*]}: this machine has no apt-get" "install them by hand and run this again"
	[ "$(id -u)" = 0 ] ||
		die "cannot install ${missing[*]}: not root" "run: sudo apt-get install ${missing[*]}"
	say "installing Debian packages: ${missing[*]}"
	local had_mosquitto=yes
	command -v mosquitto >/dev/null 2>&1 || had_mosquitto=no
	apt_get update
	apt_get install "${missing[@]}"
	# Debian starts its broker upon installing it. The tests start their own, so
	# one that came with us must not keep a port of this machine.
	if [ $had_mosquitto = no ] && [ -d /run/systemd/system ] && command -v mosquitto >/dev/null 2>&1; then
		systemctl disable --now --quiet mosquitto.service || say "cannot stop the broker Debian started; a port stays taken"
	fi
}

# apt_get waits for another package manager instead of failing, asks nothing, and
# shows what it printed only when it fails.
apt_get() {
	local log
	log=$(mktemp)
	if ! DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 \
		-o APT::Install-Recommends=false "$@" >"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		rm -f "$log"
		die "cannot run apt-get $*" "its own words stand above"
	fi
	rm -f "$log"
}

# go_tool MODULE VERSION TAGS PACKAGE... puts Go programs of a pinned version into
# .tools/bin. What a program says of itself is its stamp: the version and the tags
# that Go wrote into it, so that a half-finished or foreign one is built anew.
go_tool() {
	local module=$1 version=$2 tags=$3 pkg name
	shift 3
	local wanted=()
	for pkg in "$@"; do
		name=${pkg##*/}
		is_built "$bin/$name" "$module" "$version" "$tags" || wanted+=("$module/$pkg@$version")
	done
	[ ${#wanted[@]} -gt 0 ] || return 0
	say "building ${wanted[*]} (minutes on a first run)"
	local start=$SECONDS
	# Run outside the checkout: what a tool is built from is its own affair, not go.mod's.
	(cd / && CGO_ENABLED=0 GOBIN=$bin GOFLAGS=-buildvcs=false go install -trimpath -tags "$tags" -ldflags '-s -w' "${wanted[@]}") ||
		die "cannot build ${wanted[*]}" "this needs the Go module proxy; see 'go env GOPROXY'"
	say "built in $((SECONDS - start)) s"
}

is_built() {
	local file=$1 module=$2 version=$3 tags=$4 info
	[ -x "$file" ] || return 1
	info=$(go version -m "$file" 2>/dev/null) || return 1
	grep -qF "	mod	$module	$version" <<<"$info" || return 1
	[ -z "$tags" ] || grep -qxF "	build	-tags=$tags" <<<"$info"
}

for_run() {
	need_commands runc runc
}

for_test() {
	need_commands gcc gcc mosquitto mosquitto mosquitto_pub mosquitto-clients \
		qemu-aarch64-static qemu-user-static qemu-arm-static qemu-user-static \
		systemd-analyze systemd curl curl nsenter util-linux ip iproute2 nft nftables python3 python3
	# Judges of what is flashed.
	need_commands mkfs.vfat dosfstools mcopy mtools sfdisk fdisk losetup mount findmnt util-linux
	# The page's: a browser, and what drives it.
	need_commands chromium chromium node nodejs npm npm
	# No PATH leads to these.
	[ -x "${HOLDFAST_CNI-/usr/lib/cni}/bridge" ] || missing+=(containernetworking-plugins)
	# A compiler without the C library's headers builds nothing.
	gcc -E - <<<'#include <stdlib.h>' >/dev/null 2>&1 || missing+=(libc6-dev)
}

for_packages() {
	need_commands groff groff-base xz xz-utils
}

for_release() {
	need_commands qemu-aarch64-static qemu-user-static qemu-arm-static qemu-user-static qemu-x86_64-static qemu-user-static
}

for_chroot() {
	need_commands mmdebstrap mmdebstrap rpm rpm lintian lintian
}

for_vm() {
	need_commands mmdebstrap mmdebstrap mke2fs e2fsprogs qemu-system-x86_64 qemu-system-x86
}

for_image() {
	need_commands mmdebstrap mmdebstrap mksquashfs squashfs-tools mkfs.fat dosfstools mcopy mtools mke2fs e2fsprogs \
		sfdisk fdisk grub-mkimage grub-common zstd zstd depmod kmod qemu-aarch64-static qemu-user-static \
		qemu-system-x86_64 qemu-system-x86 qemu-system-aarch64 qemu-system-arm rauc rauc \
		arch-test arch-test # by which mmdebstrap sees that other processors are emulated
	# Firmware for the machines that are started.
	local share=${HOLDFAST_SHARE-/usr/share}
	[ -e "$share/OVMF/OVMF_CODE_4M.fd" ] || missing+=(ovmf)
	[ -e "$share/AAVMF/AAVMF_CODE.fd" ] || missing+=(qemu-efi-aarch64)
	[ -e "$share/AAVMF/AAVMF32_CODE.fd" ] || missing+=(qemu-efi-arm)
}

containerd_tools() {
	go_tool github.com/containerd/containerd/v2 "$CONTAINERD" "$CONTAINERD_TAGS" \
		cmd/containerd cmd/containerd-shim-runc-v2 cmd/ctr
}

# Prometheus' own judge of alert rules, out of Debian's package: installed, that would start a
# server, and bring a page with all it needs.
rule_tools() {
	[ ! -x "$bin/promtool" ] || return 0
	say "unpacking promtool"
	local dir
	dir=$(mktemp -d)
	[ "$(id -u)" != 0 ] || apt_get update
	(cd "$dir" && apt_get download prometheus && dpkg-deb -x prometheus_*.deb . && mv usr/bin/promtool "$bin/promtool") ||
		die "cannot unpack promtool" "apt-get download prometheus has to work on this machine"
	rm -rf "$dir"
}

# What drives the browser in the tests of the page, as its lock file says. Playwright's
# core fetches no browser of its own.
browser_modules() {
	local dir=${HOLDFAST_BROWSER-$repo/build/browser}
	[ "$(cat "$dir/package-lock.json")" != "$(cat "$dir/node_modules/.lock" 2>/dev/null)" ] || return 0
	say "fetching what drives the browser"
	(cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) ||
		die "cannot fetch the packages of $dir" "this needs npm's registry; see 'npm config get registry'"
	cat "$dir/package-lock.json" >"$dir/node_modules/.lock"
}

lint_tools() {
	go_tool github.com/golangci/golangci-lint/v2 "$GOLANGCI_LINT" "" cmd/golangci-lint
}

packages_tools() {
	go_tool github.com/goreleaser/nfpm/v2 "$NFPM" "" cmd/nfpm
}

main() {
	local group=all
	case "${1-}" in
	"") ;;
	--only)
		group=${2-}
		case $group in run | test | lint | packages | release | chroot | vm | image) ;; *) die "unknown group '$group'" "one of run, test, lint, packages, release, chroot, vm, image" ;; esac
		;;
	*) die "unknown argument $1" "usage: provision.sh [--only run|test|lint|packages|release|chroot|vm|image]" ;;
	esac
	command -v go >/dev/null 2>&1 ||
		die "cannot find go" "install Go $(awk '$1 == "go" {print $2}' "$repo/go.mod") or newer and put it on PATH"
	mkdir -p "$bin"
	exec 9>"$tools/lock"
	flock 9 # two make targets at once provision once
	case $group in run | all | test | vm | image) for_run ;; esac
	case $group in test | all) for_test ;; esac
	case $group in packages | release | chroot | test | all | vm) for_packages ;; esac
	[ "$group" != release ] || for_release
	[ "$group" != chroot ] || for_chroot
	[ "$group" != vm ] || for_vm
	[ "$group" != image ] || for_image
	install_missing
	case $group in run | test | vm | image | all) containerd_tools ;; esac
	case $group in test | all) rule_tools ;; esac
	case $group in test | all) browser_modules ;; esac
	case $group in lint | all) lint_tools ;; esac
	case $group in packages | release | chroot | test | all | vm) packages_tools ;; esac
	say "ready ($group)"
}

main "$@"
