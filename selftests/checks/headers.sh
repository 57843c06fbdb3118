#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Every public header compiles alone: those of uapi/ in C11 for 64 and 32 bits
# and in C++17, pedantically; the library's in C11 and C++17. The library
# exports versioned l3l2q_ names and nothing else.

set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

shopt -s nullglob
uapi=(uapi/linux/l3l2q*.h)
lib=()
while read -r f; do
	lib+=("$f")
done < <(find libuser/include -name '*.h' 2>/dev/null | LC_ALL=C sort)

verdict() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		sed 's/^/# /' "$tmp/err"
		echo "not ok $n $2"
	fi
}

# try NAME HEADER COMPILER FLAGS...: twice included, used for nothing
try() {
	local name=$1 h=$2
	shift 2

	printf '#include <%s>\n#include <%s>\n' "$h" "$h" |
		"$@" -Wall -Wextra -Werror -fsyntax-only -Iuapi -Ilibuser/include - >"$tmp/err" 2>&1
	verdict $? "$h: $name"
}

echo 'TAP version 13'
echo "1..$((${#uapi[@]} * 3 + 2 + ${#lib[@]} * 2 + 1))"

# -m32 without the 32-bit libc: the uapi needs the kernel's headers alone, and
# those are the same files
native=/usr/include/$(gcc -dumpmachine)
for f in "${uapi[@]}"; do
	try 'C11, 64 bits' "${f#uapi/}" gcc -x c -std=c11 -Wpedantic -m64
	try 'C11, 32 bits' "${f#uapi/}" gcc -x c -std=c11 -Wpedantic -m32 -ffreestanding -isystem "$native"
	try 'C++17' "${f#uapi/}" g++ -x c++ -std=c++17 -Wpedantic
done
for bits in 64 32; do
	try "layout, $bits bits" ../selftests/abi_layout.h gcc -x c -std=c11 -m$bits -ffreestanding -isystem "$native"
done
for f in "${lib[@]}"; do
	try 'C11' "${f#libuser/include/}" gcc -x c -std=c11
	try 'C++17' "${f#libuser/include/}" g++ -x c++ -std=c++17
done

so=build/lib/libl3l2q.so.1
if [ -e $so ]; then
	nm -D --defined-only --with-symbol-versions $so | awk '$2 != "A" { print $3 }' |
		grep -vE '^l3l2q_[a-z0-9_]+@@?L3L2Q_[0-9.]+$' >"$tmp/err"
	[ ! -s "$tmp/err" ]
	verdict $? 'the library exports versioned l3l2q_ names only'
else
	echo "$so was not built" >"$tmp/err"
	verdict 1 'the library exports versioned l3l2q_ names only'
fi
