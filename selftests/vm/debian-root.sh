#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# debian-root.sh DIR: unpack a bare Debian (debootstrap's minbase, of the release of this machine) in
# DIR, which must not exist. Needs root. What debootstrap makes is kept in the cache for two weeks.

set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/l3l2q
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
tar=$cache/root-$suite.tar

say() { echo "debian-root.sh: $*" >&2; }

[ "$(id -u)" = 0 ] || { say 'needs root'; exit 3; }
command -v debootstrap >/dev/null || { say 'needs debootstrap'; exit 3; }

make_root() {
	local site tmp

	# the address is this machine's own
	site=$(apt-get indextargets --format "\$(SITE)" 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | sed -n 1p)
	[ -n "$site" ] || { say 'apt has no source that is Debian'; exit 1; }
	say "making a bare $suite"
	tmp=$(mktemp -d "$cache/tmp-root.XXXXXX")
	# shellcheck disable=SC2064
	trap "rm -rf '$tmp'" EXIT
	timeout 900 debootstrap --variant=minbase "$suite" "$tmp/root" "$site" >&2
	rm -f "$tmp"/root/var/cache/apt/archives/*.deb "$tmp"/root/etc/apt/sources.list
	tar -C "$tmp/root" -cf "$tmp/tar" .
	mv "$tmp/tar" "$tar"
}

mkdir -p "$cache"
exec 9>"$cache/.lock-root"
flock -w 1800 9
if [ -z "$(find "$tar" -mtime -14 2>/dev/null)" ]; then
	make_root
fi
mkdir "$1"
tar -C "$1" -xf "$tar"
