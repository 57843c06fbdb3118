#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Builds and installations that users have, as TAP: other flags, machines and C
# libraries, no kernel headers, "make install" as root and into a DESTDIR. What is built
# otherwise than by check.sh is below build/builds; what the machine has no compiler for is skipped.

set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0
none=$tmp/no-headers

unset MAKEFLAGS MFLAGS MAKEOVERRIDES CC CFLAGS CPPFLAGS LDFLAGS CROSS_COMPILE ARCH KDIR DESTDIR PREFIX
# as check.sh does, whose objects are in build/
make=(make -s -j2 WERROR=-Werror)

verdict() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		tail -n 40 "$tmp/out" | sed 's/^/# /'
		echo "not ok $n $2"
	fi
}
skip() {
	n=$((n + 1))
	echo "ok $n $1 # SKIP $2"
}

# build DIRECTORY MAKE ARGUMENTS...: library and tools, without a warning
build() {
	local dir=$1
	shift
	"${make[@]}" BUILD="$dir" "$@" lib tools >"$tmp/out" 2>&1 &&
		! grep -qi 'warning' "$tmp/out"
}

# link_time DIRECTORY: the same for the library and one program, since each link compiles anew
link_time() {
	"${make[@]}" BUILD="$1" CFLAGS='-O3 -flto=2 -ffat-lto-objects -g' lib "$1/bin/l3l2q-stream" \
		"$1/bin-static/l3l2q-stream" >"$tmp/out" 2>&1 && ! grep -qi 'warning' "$tmp/out"
}

# works DIRECTORY: its l3l2q-stream does, both as linked
works() {
	local bin

	for bin in bin bin-static; do
		[ -x "$1/$bin/l3l2q-stream" ] || return 1
		head -c 300000 /dev/urandom >"$tmp/in"
		timeout 60 "$1/$bin/l3l2q-stream" --transport memfd --op xor-u8:3 --verify -i "$tmp/in" \
			-o "$tmp/result" >"$tmp/out" 2>&1 || return 1
	done
}

# compiles COMPILER...: a program of the C library's
compiles() {
	# shellcheck disable=SC2016
	printf '#include <errno.h>\n#include <linux/types.h>\nint main(void) { return errno; }\n' |
		"$@" -x c -o "$tmp/a.out" - >"$tmp/out" 2>&1
}

# the kernel's headers alone, for compilers whose directories have others
mkdir "$tmp/kernel"
for h in linux asm asm-generic; do
	d=$(echo "#include <$h/types.h>" | gcc -E -x c - | sed -n "s,^# 1 \"\(.*/$h\)/types.h\".*,\1,p" | head -n 1)
	ln -s "$d" "$tmp/kernel/$h"
done

echo 'TAP version 13'
echo 1..19

build build
verdict $? 'library and tools without a warning'
link_time build/builds/lto
verdict $? 'gcc -O3 -flto: library and l3l2q-stream'
works build/builds/lto
verdict $? 'gcc -O3 -flto: l3l2q-stream'

m32="gcc -m32 -isystem $tmp/kernel"
# shellcheck disable=SC2086
if ! compiles $m32; then
	skip 'gcc -m32: library and tools' 'no 32-bit C library'
	skip 'gcc -m32: l3l2q-stream' 'no 32-bit C library'
else
	"$tmp/a.out" 2>/dev/null
	runs=$?
	build build/builds/m32 CC="$m32"
	verdict $? 'gcc -m32: library and tools'
	if [ $runs = 0 ]; then
		works build/builds/m32
		verdict $? 'gcc -m32: l3l2q-stream'
	else
		skip 'gcc -m32: l3l2q-stream' 'this kernel runs no 32-bit programs'
	fi
fi

musl="musl-gcc -isystem $tmp/kernel"
# shellcheck disable=SC2086
if ! compiles $musl; then
	skip 'musl: library and tools' 'no musl-gcc'
	skip 'musl: l3l2q-stream' 'no musl-gcc'
else
	build build/builds/musl CC="$musl"
	verdict $? 'musl: library and tools'
	works build/builds/musl
	verdict $? 'musl: l3l2q-stream'
fi

# ---- without kernel headers

"${make[@]}" KDIR="$none" >"$tmp/out" 2>&1 &&
	grep -q "The module was left out: there are no prepared kernel headers in $none" "$tmp/out"
verdict $? 'make without kernel headers: leaves the module out and says so'
! "${make[@]}" KDIR="$none" modules >"$tmp/out" 2>&1 &&
	grep -q "^There are no prepared kernel headers in $none: install" "$tmp/out"
verdict $? 'make modules without kernel headers: fails with a sentence'

# ---- installing

kdir=$(selftests/vm/kernel.sh stock | tail -n 1)/kdir
install=("${make[@]}" KDIR="$kdir")
release=$(sed -n 's/^.define UTS_RELEASE "\(.*\)"/\1/p' "$kdir/include/generated/utsrelease.h")
dest=$tmp/dest
PATH=$PATH:/usr/sbin:/sbin

"${install[@]}" kmod >"$tmp/out" 2>&1 && "${install[@]}" DESTDIR="$dest" install >"$tmp/out" 2>&1 &&
	[ "$(cat "$tmp/out")" = "  INSTALL $dest/lib/modules/$release/extra/l3l2q.ko" ]
verdict $? 'make install to a DESTDIR'

# Everything there is a file that was installed on purpose: none of depmod's.
missing=0
for f in lib/libl3l2q.so.1 lib/libl3l2q.so lib/libl3l2q.a lib/pkgconfig/l3l2q.pc \
	lib/pkgconfig/l3l2q-core.pc bin/l3l2q-stream bin/l3l2q-npusim \
	include/l3l2q.h include/l3l2q.hpp include/l3l2q/core.h include/l3l2q/simpler/detail/queue.h \
	include/l3l2q/simpler/g3/common/region_template.h include/linux/l3l2q.h include/linux/l3l2q_abi.h share/man/man7/l3l2q.7 \
		share/man/man7/l3l2q_core.7; do
	[ -s "$dest/usr/local/$f" ] || { echo "no $f"; missing=1; }
done >"$tmp/out"
[ $missing = 0 ] && [ "$(cd "$dest/lib/modules/$release" && find . -type f)" = ./extra/l3l2q.ko ]
verdict $? 'a DESTDIR: what is there'

core() {
	PKG_CONFIG_PATH=$dest/usr/local/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dest pkg-config "$@" l3l2q-core
}
# compiles_by_core SOURCE COMPILER...: with the installed headers alone
compiles_by_core() {
	local source=$PWD/$1
	local -a flags
	shift

	read -ra flags < <(core --cflags)
	(cd "$tmp" && "$@" -Wall -Wextra -Werror "${flags[@]}" -c -o core.o "$source") >"$tmp/out" 2>&1
}
# has_generations: the directory that it names has all four
has_generations() {
	local g

	for g in g1a g1b g2 g3; do
		[ -d "$simpler/$g" ] || { echo "no $simpler/$g"; return 1; }
	done
}
simpler=$(core --variable=simplerdir)
[ "$(core --modversion)" = "$(sed -n 's/^.define L3L2Q_VERSION "\(.*\)"/\1/p' driver/main.c)" ] &&
	[ -z "$(core --libs | tr -d ' ')" ] && has_generations >"$tmp/out"
verdict $? 'a DESTDIR: l3l2q-core.pc has the version, each generation, and nothing to link with'
compiles_by_core libuser/examples/aicpu.c gcc -std=c11 -O2 -ffreestanding
verdict $? 'a DESTDIR: the example for an AICPU compiles by l3l2q-core.pc'
if ! command -v g++ >/dev/null; then
	skip 'a DESTDIR: the example of an orchestration compiles by l3l2q-core.pc' 'no g++'
else
	compiles_by_core libuser/examples/orchestration.cc g++ -std=c++17 -O2 -I"$simpler/g2"
	verdict $? 'a DESTDIR: the example of an orchestration compiles by l3l2q-core.pc'
fi

PATH=$dest/usr/local/bin:$PATH bash -c '. "$1"; COMP_WORDS=(l3l2qctl --json sh) COMP_CWORD=2; _l3l2qctl; echo "${COMPREPLY[@]}"' \
	- "$dest/usr/local/share/bash-completion/completions/l3l2qctl" >"$tmp/out" 2>&1 && [ "$(cat "$tmp/out")" = show ]
verdict $? 'a DESTDIR: bash completes commands of l3l2qctl'

depmod -b "$dest" "$release" 2>&1 | grep -v 'could not open modules\.' >"$tmp/out"
[ ! -s "$tmp/out" ] && [ "$(modprobe -d "$dest" -S "$release" --show-depends l3l2q 2>"$tmp/out")" = \
	"insmod $dest/lib/modules/$release/extra/l3l2q.ko " ]
verdict $? 'a DESTDIR: depmod is silent, and modprobe finds the module'

rm -f "$dest/lib/modules/$release"/modules.*
"${install[@]}" DESTDIR="$dest" uninstall >"$tmp/out" 2>&1 && [ ! -s "$tmp/out" ] &&
	find "$dest" -type f -o -type l >"$tmp/out" && [ ! -s "$tmp/out" ] && [ ! -e "$dest/usr/local/include/l3l2q" ]
verdict $? 'make uninstall from a DESTDIR: leaves nothing'

# As root on the real system, of which only this namespace sees the change.
cat >"$tmp/as-root" <<'END'
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/lupper" "$1/lwork"
mount -t overlay overlay -o "lowerdir=/usr,upperdir=$1/upper,workdir=$1/work" /usr
[ -L /lib ] || mount -t overlay overlay -o "lowerdir=/lib,upperdir=$1/lupper,workdir=$1/lwork" /lib
[ "$2" ] || exit 0
release=$2
shift 2
mkdir -p "/lib/modules/$release"
touch "/lib/modules/$release/modules.order" "/lib/modules/$release/modules.builtin"
touch "/lib/modules/$release/modules.builtin.modinfo"
"$@" install
modprobe -S "$release" --show-depends l3l2q
"$@" uninstall
! modprobe -S "$release" --show-depends l3l2q 2>/dev/null
END
mkdir "$tmp/overlay"
if ! unshare -m sh "$tmp/as-root" "$tmp/overlay" '' >/dev/null 2>&1; then
	skip 'make install as root, then modprobe' 'needs root and an overlay file system'
	skip 'make install as root: depmod says nothing' 'needs root and an overlay file system'
else
	unshare -m sh "$tmp/as-root" "$tmp/overlay" "$release" "${install[@]}" >"$tmp/out" 2>"$tmp/err"
	st=$?
	[ $st = 0 ] && grep -qx "insmod /lib/modules/$release/extra/l3l2q.ko " "$tmp/out"
	verdict $? 'make install as root, then modprobe'
	cp "$tmp/err" "$tmp/out"
	[ ! -s "$tmp/err" ]
	verdict $? 'make install as root: depmod says nothing'
fi
