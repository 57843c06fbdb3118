#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# packages.sh GROUP...: install the Debian packages that these groups need and
# that are missing. Says what it does; does nothing where all is there.
#
#	build	compile library, tools and modules
#	guest	boot a guest
#	check	the tests and style checks, and the debug kernel
#	bench	the benchmarks, their peers and plots
#	plot	the plots alone
#	insn	counting instructions

set -euo pipefail

say() { echo "packages.sh: $*" >&2; }

# Guests for aarch64 come from other machines too.
case $(dpkg --print-architecture 2>/dev/null) in
arm64)
	qemu=(qemu-system-arm)
	cross=()
	;;
*)
	qemu=(qemu-system-x86)
	cross=(qemu-system-arm libc6-dev-arm64-cross)
	;;
esac

want=()
for group in "$@"; do
	case $group in
	build) want+=(gcc make libc6-dev binutils xz-utils) ;;
	guest) want+=("${qemu[@]}" cpio perl-base) ;;
	check)
		want+=(g++ perl bc flex bison libelf-dev kmod sparse cppcheck
			gcc-aarch64-linux-gnu linux-libc-dev-arm64-cross pkg-config groff-base spin
			"${cross[@]}")
		;;
	bench) want+=(libdpdk-dev pkg-config gnuplot-nox perl) ;;
	plot) want+=(gnuplot-nox perl) ;;
	insn) want+=(valgrind perl-base) ;;
	*)
		say "unknown group $group"
		exit 2
		;;
	esac
done

if ! command -v dpkg-query >/dev/null; then
	say "not a Debian system: expecting to find ${want[*]}"
	exit 0
fi

# pkg-config is a virtual package of pkgconf from Debian 12 on
have() {
	dpkg-query -W -f '${db:Status-Abbrev}\n' "$1" 2>/dev/null | grep -q '^.i'
}
lacking=()
for p in "${want[@]}"; do
	have "$p" || lacking+=("$p")
done
if [ ${#lacking[@]} = 0 ]; then
	exit 0
fi

root=()
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		say "these packages are missing, and there is no sudo to install them: ${lacking[*]}"
		exit 1
	fi
	root=(sudo)
fi
say "installing ${lacking[*]}"

install() {
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive timeout 900 \
		apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${lacking[@]}" \
		</dev/null >&2
}

# lists may be absent or too old for what the mirror still has
if [ -z "$(apt-cache policy "${lacking[@]}" 2>/dev/null)" ] || ! install; then
	"${root[@]}" timeout 300 apt-get -qq -o DPkg::Lock::Timeout=300 update >&2
	install
fi
