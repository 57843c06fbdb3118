#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Style and static checks as TAP: checkpatch, W=1, sparse, cppcheck.

set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top" || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

verdict() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	elif [ "$1" = 77 ]; then
		echo "ok $n $2 # SKIP $(tail -n 1 "$tmp/out")"
	else
		head -n 60 "$tmp/out" | sed 's/^/# /'
		echo "not ok $n $2"
	fi
}

# It judges a header by the place it would have in the kernel's tree, so give
# it that; and it does not know the one name in C11 that has a capital. Lines of trace.h end
# with the parentheses of TP_STRUCT__entry( and TP_fast_assign(, as everywhere in the kernel.
checkpatch() {
	local src

	src=$(selftests/vm/kernel.sh source) || return 1
	# nothing to check is a failure too
	[ -e "$1" ] || return 1
	mkdir -p "$tmp/include" "$tmp/drivers/misc"
	ln -sfn "$top/uapi" "$tmp/include/uapi"
	ln -sfn "$top/driver" "$tmp/drivers/misc/l3l2q"
	set -- "${@/#uapi/include/uapi}"
	set -- "${@/#driver/drivers/misc/l3l2q}"
	(cd "$tmp" && perl "$src/scripts/checkpatch.pl" --strict --no-tree --no-summary --terse --show-types -f "$@") |
		grep -vE 'CAMELCASE: Avoid CamelCase: <_Static_assert>$|/trace\.h:[0-9]+: CHECK:OPEN_ENDED_LINE: '
	case ${PIPESTATUS[*]} in
	'0 '*) return 0 ;;	# perl was content
	*' 1') return 0 ;;	# nothing left
	esac
	return 1
}

# build KERNEL KMOD_ARGS [MAKE ARGUMENTS...]: the driver and the tests' modules anew.
# kbuild's own messages go to stdout, the compiler's and sparse's to stderr.
build() {
	local kdir args=$2 dir=build

	kdir=$(selftests/vm/kernel.sh "$1")/kdir || return 1
	shift 2
	case "$*" in
	*CROSS_COMPILE=*)
		[ -n "$cc" ] || { echo "$no_cc"; return 77; }
		dir=build/aarch64-linux-gnu
		;;
	esac
	rm -rf $dir/kmod-*-style*
	${MAKE:-make} -s -j"$(nproc)" kmod kmod-tests KDIR="$kdir" KMOD_SUFFIX=-style KMOD_ARGS="$args" "$@" 2>&1 >/dev/null |
		grep -vE '^Skipping BTF generation|^make(\[[0-9]+\])?: |^WARNING: modpost: .*unresolved symbol|^WARNING: modpost: .* undefined!$' |
		grep -vE '^WARNING: Module.symvers is missing|^  +(Modules may|You may get|You can set|if you want)'
	# say what is left, fail if anything is, or if there is no module
	if [ "${PIPESTATUS[2]}" = 0 ]; then
		return 1
	fi
	compgen -G "$dir/kmod-*-style/l3l2q.ko" >/dev/null || { echo 'no module was built'; return 1; }
}

# big_endian: both gatekeepers must be what stops the compiler
big_endian() {
	local why='the L3-L2 wire format is little-endian'

	[ -n "$cc" ] || { echo "$no_cc"; return 77; }
	if "$cc" -mbig-endian -ffreestanding -std=c11 -Ilibuser/include -Iuapi -fsyntax-only \
		-x c libuser/include/l3l2q/core.h 2>"$tmp/core"; then
		echo 'core.h compiles'
		return 1
	fi
	grep -F "l3l2q_abi.h" "$tmp/core" | grep -qF "#error \"$why\"" || { cat "$tmp/core"; return 1; }
	build arm64-64k 'KBUILD_MODPOST_WARN=1 KCFLAGS=-mbig-endian' "${arm64[@]}" >"$tmp/kernel"
	grep -F 'driver/internal.h' "$tmp/kernel" | grep -qF "#error \"l3l2q: $why\"" || { cat "$tmp/kernel"; return 1; }
}

unset MAKEFLAGS MFLAGS MAKEOVERRIDES
shopt -s nullglob

echo 'TAP version 13'
echo 1..8
# an aarch64 host has its own compiler
arm64=(ARCH=arm64)
cc=gcc no_cc=
if [ "$(uname -m)" != aarch64 ]; then
	cc=$("$here/cross.sh" 2>"$tmp/no-cc")
	no_cc=$(cat "$tmp/no-cc")
	arm64+=(CROSS_COMPILE=aarch64-linux-gnu- CC="$cc")
fi

checkpatch driver/*.[ch] driver/probes/*.c >"$tmp/out" 2>&1
verdict $? 'checkpatch --strict: driver'

checkpatch selftests/modules/*/*.[ch] >"$tmp/out" 2>&1
verdict $? "checkpatch --strict: modules for tests"

checkpatch uapi/linux/*.h >"$tmp/out" 2>&1
verdict $? 'checkpatch --strict: uapi'

build stock 'W=1 C=2 CF=-D__CHECK_ENDIAN__' >"$tmp/out" 2>&1
verdict $? 'module without a warning at W=1, or a complaint of sparse'

build arm64-64k 'W=1 KBUILD_MODPOST_WARN=1' "${arm64[@]}" >"$tmp/out" 2>&1
verdict $? 'module for arm64 with 64 KiB pages, without a warning'

big_endian >"$tmp/out" 2>&1
verdict $? 'refused where words are big-endian'

cppcheck -q --std=c11 --language=c '--file-filter=*.c' --enable=warning,performance,portability --inline-suppr \
	--suppressions-list="$here/cppcheck.suppress" --error-exitcode=1 --template=gcc -j 2 \
	-D__x86_64__ -D_GNU_SOURCE \
	'-DPy_BEGIN_ALLOW_THREADS={' '-DPy_END_ALLOW_THREADS=}' '-DPy_RETURN_NONE=return 0' -Ilibuser/include -Ilibuser/src -Iuapi libuser >"$tmp/out" 2>&1
verdict $? 'cppcheck: libuser'

st=0
for f in selftests/*.sh selftests/python/*.sh selftests/vm/*.sh selftests/checks/*.sh libuser/examples/trace/*.sh libuser/packaging/*.sh selftests/vm/init selftests/vm/load-module .ci/run; do
	case $(head -n 1 "$f") in
	*bash*) bash -n "$f" ;;
	*) sh -n "$f" ;;
	esac || st=1
done >"$tmp/out" 2>&1
verdict $st 'shell scripts parse'
