#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The protocol core must build without a libc for both machines: no header but
# the compiler's, no undefined symbol but the four that gcc itself may call.

set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

echo 'TAP version 13'
echo 1..2
for cc in "${HOSTCC:-gcc}" "$(selftests/checks/cross.sh 2>"$tmp/no-cc")"; do
	n=$((n + 1))
	if [ -z "$cc" ]; then
		echo "ok $n core.h for aarch64 # SKIP $(cat "$tmp/no-cc")"
		continue
	fi
	machine=$("$cc" -dumpmachine)
	err='' flags=()
	# Else gcc calls libgcc for atomics, as core.h says.
	case $machine in
	aarch64*) flags=(-mno-outline-atomics) ;;
	esac
	# The uapi includes the kernel's own headers, so those may be found, and
	# nothing else that lies beside them.
	rm -rf "$tmp/kernel"
	mkdir "$tmp/kernel"
	for h in linux asm asm-generic; do
		f=$(echo "#include <$h/types.h>" | "$cc" -E -x c - | sed -n "s,^# 1 \"\(.*/$h\)/types.h\".*,\1,p" | head -n 1)
		ln -s "$f" "$tmp/kernel/$h"
	done
	if "$cc" -std=c11 -O2 -Wall -Wextra -Werror -ffreestanding -nostdlib -nostdinc "${flags[@]}" \
		-isystem "$("$cc" -print-file-name=include)" \
		-isystem "$tmp/kernel" -Ilibuser/include -Iuapi \
		-c -o "$tmp/o.o" selftests/freestanding.c 2>"$tmp/err"; then
		err=$("$("$cc" -print-prog-name=nm)" -u "$tmp/o.o" | awk '{ print $NF }' | grep -vxE 'memcpy|memmove|memset|memcmp')
		if [ -n "$err" ]; then
			echo "undefined:" "$err" | sed 's/^/# /'
		fi
	else
		err=1
		sed 's/^/# /' "$tmp/err"
	fi
	if [ -z "$err" ]; then
		echo "ok $n core.h for $machine"
	else
		echo "not ok $n core.h for $machine"
	fi
done
