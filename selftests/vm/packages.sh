#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# packages.sh GROUP...: install the Debian packages that these groups need and
# that are missing. Says what it does; does nothing where all is there, and never
# removes a package: what conflicts with an installed one is left out, and the tests
# that need it are skipped.
#
#	build	compile library, tools and modules
#	guest	boot a guest
#	python	the Python module
#	check	the tests and style checks, and the debug kernel
#	bench	the benchmarks, their peers and plots
#	plot	the plots alone
#	insn	counting instructions
#	fuzz	the fuzzers
#	deb	make Debian packages
#	rpm	make those of RPM
#	udev	the short checks of packages
#	packages	the long ones

set -euo pipefail

say() { echo "packages.sh: $*" >&2; }

# Guests for aarch64 come from other machines too.
case $(dpkg --print-architecture 2>/dev/null) in
arm64)
	qemu=(qemu-system-arm)
	cross=()
	more=(musl-tools)
	;;
*)
	qemu=(qemu-system-x86)
	# gcc-N-aarch64-linux-gnu conflicts with gcc-multilib; N is that of the package gcc
	cross=(qemu-system-arm qemu-user gcc-N-aarch64-linux-gnu libc6-dev-arm64-cross linux-libc-dev-arm64-cross)
	# -m32 without gcc-multilib, which conflicts with the cross compiler
	more=(musl-tools libc6-dev-i386 lib32gcc-N-dev)
	;;
esac

want=() may=()
for group in "$@"; do
	case $group in
	build) want+=(gcc make libc6-dev binutils xz-utils) ;;
	guest) want+=("${qemu[@]}" cpio perl-base) ;;
	python) may+=(python3-dev) ;;
	check)
		want+=(g++ perl bc flex bison libelf-dev kmod sparse cppcheck
			pkg-config groff-base spin)
		may+=("${cross[@]}" "${more[@]}" systemtap-sdt-dev gnuplot-nox linux-perf trace-cmd python3-dev python3-venv python3-pip
			python3-setuptools python3-wheel python3-pytest python3-numpy mypy)
		;;
	bench)
		want+=(pkg-config gnuplot-nox perl)
		may+=(libdpdk-dev liburing-dev libboost-dev g++)
		;;
	plot) want+=(gnuplot-nox perl) ;;
	fuzz) want+=(clang libclang-rt-14-dev llvm) ;;
	deb) want+=(build-essential debhelper dh-dkms dh-python pkgconf python3-dev libpython3-dev python3-setuptools
		systemtap-sdt-dev) ;;
	rpm) want+=(rpm python3-dev python3-setuptools pkgconf systemtap-sdt-dev) ;;
	udev) want+=(udev) ;;
	packages)
		want+=(lintian udev debootstrap rpmlint)
		may+=(ovmf)
		;;
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
# lacking PACKAGE...: those that are not there
lacking() {
	local p

	for p in "$@"; do
		have "$p" || echo "$p"
	done
}
# the N of gcc-N
gcc_version() {
	apt-cache depends gcc 2>/dev/null | sed -n 's/.*Depends: gcc-\([0-9]*\)$/\1/p' | head -n 1
}

if [ ${#may[@]} != 0 ]; then
	n=$(gcc_version)
	may=("${may[@]//-N-/-${n:-12}-}")
fi
mapfile -t need < <(lacking "${want[@]}")
mapfile -t optional < <(lacking "${may[@]}")
# what was refused before, for as long as the same packages are installed
refused=${XDG_CACHE_HOME:-$HOME/.cache}/l3l2q/.refused
state=$(stat -c %Y /var/lib/dpkg/status 2>/dev/null || true)
if [ ${#need[@]} = 0 ] && [ "$(cat "$refused" 2>/dev/null)" = "$state ${optional[*]}" ]; then
	optional=()
fi
if [ ${#need[@]} = 0 ] && [ ${#optional[@]} = 0 ]; then
	exit 0
fi

root=()
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		say "these packages are missing, and there is no sudo to install them: ${need[*]} ${optional[*]}"
		[ ${#need[@]} = 0 ]
		exit
	fi
	root=(sudo)
fi

apt_get() {
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive timeout 900 \
		apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}
install() {
	say "installing $*"
	apt_get install -y --no-install-recommends --no-remove "$@"
}
# can PACKAGE...: together, and without removing any
can() {
	apt-get -qq -s install --no-install-recommends --no-remove "$@" >/dev/null 2>&1
}

# lists may be absent or too old for what the mirror still has
if [ -z "$(apt-cache policy "${need[@]}" "${optional[@]}" 2>/dev/null)" ]; then
	apt_get update
fi
# one by one if need be: what conflicts should not keep out the rest
all=("${need[@]}") left_out=()
if can "${need[@]}" "${optional[@]}"; then
	all+=("${optional[@]}")
	optional=()
fi
for p in "${optional[@]}"; do
	if can "${all[@]}" "$p"; then
		all+=("$p")
	else
		left_out+=("$p")
	fi
done
if [ ${#left_out[@]} != 0 ]; then
	say "left out: apt does not know them, or would remove other packages for them: ${left_out[*]}"
fi
if [ ${#all[@]} != 0 ] && ! install "${all[@]}"; then
	apt_get update
	install "${all[@]}"
fi
if [ ${#left_out[@]} != 0 ]; then
	mkdir -p "${refused%/*}"
	echo "$(stat -c %Y /var/lib/dpkg/status) ${left_out[*]}" >"$refused"
fi
