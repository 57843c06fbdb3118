#!/bin/bash
# SPDX-License-Identifier: MIT
#
# deb.sh [--short] DIR: build Debian packages of this tree in DIR, which is made anew: DIR/*.deb to
# install, DIR/debug/*.deb with the debug symbols, and DIR/build with all that an upload has, also
# the source package. --short leaves out debug symbols, source and compression. The same tree gives
# the same bytes.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
short=
if [ "$1" = --short ]; then
	short=1
	shift
fi
rm -rf "$1"
mkdir -p "$1"/{build,debug}
out=$(cd "$1" && pwd)

# shellcheck source=libuser/packaging/stage.sh
. "$top/libuser/packaging/stage.sh"
tree=$out/build/l3l2q-$version
stage "$tree"
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l"$tree/libuser/packaging/debian/changelog" -STimestamp)
if [ "$short" ]; then
	export DEB_BUILD_OPTIONS="noautodbgsym parallel=$(nproc)" DPKG_DEB_COMPRESSOR_TYPE=none
	build=--build=binary
else
	export DEB_BUILD_OPTIONS="parallel=$(nproc)"
	build=--build=full
	tar_tree "$tree" "$out/build/l3l2q_$version.orig.tar.xz"
fi
cp -rp "$tree/libuser/packaging/debian" "$tree/debian"
(cd "$tree" && dpkg-buildpackage -us -uc $build) >"$out/build/log" 2>&1 ||
	{ tail -n 40 "$out/build/log"; exit 1; }
rm -rf "$tree"
cd "$out/build"
for f in *.deb; do
	case $f in
	*-dbgsym_*.deb) ln "$f" "$out/debug" ;;
	*.deb) ln "$f" "$out" ;;
	esac
done
