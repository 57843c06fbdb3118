#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The USDT probes of the library and of programs, as TAP. Without systemtap-sdt-dev there are none.

set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

# probes FILE: provider, name and number of arguments of each, once
probes() {
	readelf -nW "$1" | awk '
		/Provider:/ { provider = $NF }
		/^ *Name:/ { name = $2 }
		/^ *Arguments:/ { print provider, name, NF - 1 }' | sort -u
}

# is NAME EXPECTED: whether that is what $tmp/probes has
is() {
	n=$((n + 1))
	if printf '%s' "${2:+$2$'\n'}" | diff - "$tmp/probes" >"$tmp/out"; then
		echo "ok $n $1"
	else
		sed 's/^/# /' "$tmp/out"
		echo "not ok $n $1"
	fi
}

if ! echo '#include <sys/sdt.h>' | gcc -E -x c - >/dev/null 2>&1; then
	echo '1..0 # SKIP no sys/sdt.h (systemtap-sdt-dev)'
	exit
fi
echo 'TAP version 13'
echo 1..4

probes build/lib/libl3l2q.so.1 >"$tmp/probes"
is 'the library has its probes' 'l3l2q enqueue 5
l3l2q peek 4
l3l2q poison 3
l3l2q publish 4
l3l2q release 4
l3l2q sleep 4
l3l2q wake 3'

cat >"$tmp/user.c" <<'END'
#include <l3l2q.h>

int user(struct l3l2q_producer *p, struct l3l2q_consumer *c, struct l3l2q_message *m);
int user(struct l3l2q_producer *p, struct l3l2q_consumer *c, struct l3l2q_message *m)
{
	return l3l2q_try_enqueue(p, L3L2Q_OP_DATA, m, sizeof(*m)) | l3l2q_try_peek(c, m) | l3l2q_release(c, m);
}
END
user=(gcc -std=gnu11 -O2 -Wall -Wextra -Wpedantic -Werror -Iuapi -Ilibuser/include -c -o "$tmp/user.o" "$tmp/user.c")
"${user[@]}" && probes "$tmp/user.o" >"$tmp/probes"
is 'inline calls have none' ''
"${user[@]}" -DL3L2Q_PROBES && probes "$tmp/user.o" >"$tmp/probes"
is 'inline calls have theirs with L3L2Q_PROBES' 'l3l2q enqueue 5
l3l2q peek 4
l3l2q publish 4
l3l2q release 4'

echo '#include <l3l2q/core.h>' >"$tmp/core.c"
gcc -std=c11 -O2 -ffreestanding -DL3L2Q_PROBES -Iuapi -Ilibuser/include -c -o "$tmp/core.o" "$tmp/core.c" &&
	probes "$tmp/core.o" >"$tmp/probes"
is 'the core for L2 has none' ''
