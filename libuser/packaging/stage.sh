# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The tree as a package sees it, and its version. To be sourced by a script that has set top; what
# the caller's make would pass on to builds is unset.

unset MAKEFLAGS MFLAGS MAKEOVERRIDES CC CXX CFLAGS CPPFLAGS LDFLAGS CROSS_COMPILE ARCH KDIR DESTDIR PREFIX V
# shellcheck disable=SC2034,SC2154
version=$(sed -n 's/^.define L3L2Q_VERSION "\(.*\)"/\1/p' "$top/driver/main.c")

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
