#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The protocol core, and the example of an L2 on it, must build without a libc for both
# machines: no header but the compiler's, no undefined symbol but the four that gcc itself
# may call. The core's program is run where this machine, or qemu-user, can.

set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

# verdict NAME: a test, passed if $tmp/err is empty
verdict() {
	n=$((n + 1))
	if [ -s "$tmp/err" ]; then
		sed 's/^/# /' "$tmp/err"
		echo -n 'not '
	fi
	echo "ok $n $1"
}

# skip NAME WHY
skip() { n=$((n + 1)); echo "ok $n $1 # SKIP $2"; }

# compile SOURCE OUTPUT FLAGS...: with no header but the compiler's and the kernel's
compile() {
	"$cc" -std=c11 -O2 -Wall -Wextra -Werror -ffreestanding -nostdlib -nostdinc "${flags[@]}" \
		-isystem "$("$cc" -print-file-name=include)" \
		-isystem "$tmp/kernel" -Ilibuser/include -Iuapi "${@:3}" -o "$2" "$1"
}

# builds SOURCE: prints what is wrong with its object file
builds() {
	local err

	compile "$1" "$tmp/o.o" -c -fstack-usage 2>&1 || return
	err=$("$("$cc" -print-prog-name=nm)" -u "$tmp/o.o" | awk '{ print $NF }' | grep -vxE 'memcpy|memmove|memset|memcmp')
	[ -z "$err" ] || echo "undefined:" $err
}

# stack BYTES: prints if all functions of the object file together take more, or no fixed size
stack() {
	awk -v max="$1" '{ n += $2 } / dynamic$/ { print } END { if (!n || n > max) print "stack: " n }' "$tmp"/*.su
}

# runs: prints what goes wrong when the core's program runs
runs() {
	compile selftests/freestanding.c "$tmp/run" -static -fno-stack-protector -fno-tree-loop-distribute-patterns \
		-DFREESTANDING_START 2>&1 || return
	# a processor with lines of 64 bytes, for which core.h has instructions
	QEMU_CPU=cortex-a57 timeout 60 "$@" "$tmp/run" || echo "exit $?"
}

# emulator MACHINE: prints what runs its programs; nothing for this machine's own
emulator() {
	[ "$1" = "$(uname -m)" ] || command -v "qemu-$1-static" || command -v "qemu-$1"
}

echo 'TAP version 13'
echo 1..6
for cc in "${HOSTCC:-gcc}" "$(selftests/checks/cross.sh 2>"$tmp/no-cc")"; do
	if [ -z "$cc" ]; then
		for name in 'core.h for aarch64' 'examples/aicpu.c for aarch64' 'core.h runs on aarch64'; do
			skip "$name" "$(cat "$tmp/no-cc")"
		done
		continue
	fi
	machine=$("$cc" -dumpmachine)
	flags=()
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
	builds selftests/freestanding.c >"$tmp/err"
	verdict "core.h for $machine"
	rm -f "$tmp"/*.su
	{ builds libuser/examples/aicpu.c; stack 3072; } >"$tmp/err"
	verdict "examples/aicpu.c for $machine"
	if run=$(emulator "${machine%%-*}"); then
		runs ${run:+"$run"} >"$tmp/err" 2>&1
		verdict "core.h runs on $machine"
	else
		skip "core.h runs on $machine" "no qemu-${machine%%-*} (package qemu-user)"
	fi
done
