#!/bin/sh
# SPDX-License-Identifier: MIT
#
# perf.sh FILE COMMAND...
#
# Runs COMMAND, and writes to FILE what l3l2q did on this machine meanwhile: the driver's
# tracepoints and the probes of the library that PROBES names (or of a program that has it
# inside), as text for timeline.sh. Needs root and perf (Debian: linux-perf).
#
#	PROBES=/usr/lib/libl3l2q.so.1 ./perf.sh stream.txt l3l2q-stream --transport driver -i in -o out

set -eu

[ $# -ge 2 ] || { echo "usage: [PROBES=LIBRARY] $0 FILE COMMAND..." >&2; exit 2; }
file=$1
shift
data=$(mktemp)
# shellcheck disable=SC2317
clean_up() {
	rm -f "$data" "$data.old"
	[ -z "${PROBES-}" ] || perf probe -q -d 'sdt_l3l2q:*' || true
}
trap clean_up EXIT

if [ -n "${PROBES-}" ]; then
	perf buildid-cache --add "$PROBES"
	perf probe -q -x "$PROBES" 'sdt_l3l2q:*' >/dev/null
fi
perf record -q -a -o "$data" -e 'l3l2q:*' ${PROBES:+-e 'sdt_l3l2q:*'} -- "$@"
perf script -i "$data" -F comm,tid,cpu,time,event,trace >"$file"
