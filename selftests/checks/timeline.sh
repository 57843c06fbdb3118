#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# examples/trace/timeline.sh draws what the trace beside it has, as TAP. tracing.sh gives it traces of this driver.

set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top/libuser/examples/trace" || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

verdict() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		sed 's/^/# /' "$tmp/err"
		echo "not ok $n $2"
	fi
}

# marks REGEX: how many the drawing has, but for the one in its key
marks() { echo $(($(grep -oE "$1" "$tmp/svg" | wc -l) - 1)); }

if ! command -v gnuplot >/dev/null; then
	echo '1..0 # SKIP no gnuplot'
	exit
fi
echo 'TAP version 13'
echo 1..5

timeout 60 ./timeline.sh 7 stream.trace >"$tmp/svg" 2>"$tmp/err"
verdict $? 'a drawing is made'
python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$tmp/svg" 2>"$tmp/err"
verdict $? 'it is well-formed'
found="$(marks "href='#gpPt8'") sends, $(marks "href='#gpPt10'") receives, $(marks '<polygon') sleeps"
echo "$found" >"$tmp/err"
[ "$found" = '4 sends, 4 receives, 2 sleeps' ]
verdict $? 'it has each send, receive and sleep of the region once'
timeout 60 ./timeline.sh 8 <stream.trace >"$tmp/svg" 2>"$tmp/err" && [ "$(marks "href='#gpPt8'")" = 1 ]
verdict $? 'another region of the same trace, on standard input'
! timeout 60 ./timeline.sh 9 stream.trace >"$tmp/svg" 2>"$tmp/err" && grep -q 'no event of region 9' "$tmp/err"
verdict $? 'a region without events is refused'
