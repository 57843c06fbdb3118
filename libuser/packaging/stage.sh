# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The tree as a package sees it. To be sourced by deb.sh and rpm.sh, which set top.

# stage DIR: copy what git would take, or all but build/ where there is no git
stage() {
	mkdir -p "$1"
	(cd "$top" && if [ -e .git ]; then
		git ls-files -z --cached --others --exclude-standard
	else
		find . \( -path ./build -o -name __pycache__ \) -prune -o \( -type f -o -type l \) -print0
	fi | while read -r -d '' f; do
		[ ! -e "$f" ] || printf '%s\0' "$f"
	done | tar --null --no-recursion -T - -cf -) | tar -C "$1" -xf -
	chmod -R u+rwX,go+rX,go-w "$1"
}

# tar_tree DIR FILE: a tar of DIR that says nothing about who made it and when
tar_tree() {
	tar -C "${1%/*}" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
		--format=gnu -cf - "${1##*/}" | xz -T1 >"$2"
}
