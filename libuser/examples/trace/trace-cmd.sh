#!/bin/sh
# SPDX-License-Identifier: MIT
#
# trace-cmd.sh FILE COMMAND...
#
# Runs COMMAND, and writes to FILE what the l3l2q driver did on this machine meanwhile, as
# text for timeline.sh. Needs root and trace-cmd.

set -eu

[ $# -ge 2 ] || { echo "usage: $0 FILE COMMAND..." >&2; exit 2; }
file=$1
shift
data=$(mktemp)
trap 'rm -f "$data"' EXIT

trace-cmd record -q -e l3l2q -o "$data" -- "$@"
trace-cmd report -i "$data" >"$file"
