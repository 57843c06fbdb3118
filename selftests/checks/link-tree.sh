#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# link-tree.sh DIR KEY FROM PATH...: make or refresh DIR, a tree of links to a
# module's source, PATH... below FROM, in which kbuild can put its objects. Objects
# made for another KEY (kernel tree, architecture, arguments) go first.

set -euo pipefail

dir=$1 key=$2 from=$(cd "$3" && pwd)
shift 3

if [ -e "$dir" ] && [ "$(cat "$dir/.key" 2>/dev/null)" != "$key" ]; then
	rm -rf "$dir"
fi
mkdir -p "$dir"
echo "$key" >"$dir/.key"

(cd "$from" && find "$@" -type f \
	\( -name Kbuild -o -name '*.[chS]' -o -name '*.mk' \) ! -name '*.mod.c' -print) |
	while read -r f; do
		mkdir -p "$dir/$(dirname "$f")"
		[ "$dir/$f" -ef "$from/$f" ] || ln -sfn "$from/$f" "$dir/$f"
	done
find "$dir" -xtype l -delete
