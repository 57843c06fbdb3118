#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# pack_programs.sh FILE PROGRAM...: a tar of programs of this machine with their shared
# libraries, at the paths that they have here. Fails if one of them is not here.

set -eu

file=$1
shift
for p; do
	p=$(command -v "$p") || { echo "no $p" >&2; exit 1; }
	echo "$p"
	ldd "$p" | sed -n 's/^.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p'
done | sort -u | sed 's,^/,,' | tar -C / -chf "$file" -T -
