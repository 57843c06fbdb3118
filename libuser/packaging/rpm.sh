#!/bin/bash
# SPDX-License-Identifier: MIT
#
# rpm.sh DIR: build RPM packages of this tree in DIR, which is made anew: DIR/*.rpm, among them that
# of the source. Where rpm knows no kernel_module_package, the spec with the module is parsed with
# rpm/kmod-stub.macros in its place. The same tree gives the same bytes.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rm -rf "$1"
mkdir -p "$1"/build/SOURCES
out=$(cd "$1" && pwd)
spec=$top/libuser/packaging/rpm/l3l2q.spec

# shellcheck source=libuser/packaging/stage.sh
. "$top/libuser/packaging/stage.sh"
stage "$out/build/l3l2q-$version"
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(date -u -d "$(sed -n '/^%changelog/{n;s/^\* [A-Z][a-z]* \([A-Z][a-z]*\) \([0-9]*\) \([0-9]*\) .*/\2 \1 \3/p}' "$spec")" +%s)
tar_tree "$out/build/l3l2q-$version" "$out/build/SOURCES/l3l2q-$version.tar.xz"
rm -rf "$out/build/l3l2q-$version"
cp "${spec%/*}/kmod-preamble" "$out/build/SOURCES"

options=(--define "_topdir $out/build" --define '_buildhost l3l2q' --define 'use_source_date_epoch_as_buildtime 1'
	--define 'clamp_mtime_to_source_date_epoch 1')
if [ "$(rpm --eval '%{?kernel_module_package:1}')" != 1 ]; then
	rpmspec "${options[@]}" --load "$top/libuser/packaging/rpm/kmod-stub.macros" --with kmod -P "$spec" >"$out/build/kmod.spec"
fi
# Where the packages that are installed are not in rpm's database, it cannot know them.
if ! rpm -q gcc >/dev/null 2>&1; then
	options+=(--nodeps --define 'debug_package %{nil}')
fi
rpmbuild "${options[@]}" -ba "$spec" >"$out/build/log" 2>&1 || { tail -n 40 "$out/build/log"; exit 1; }
find "$out/build" -name '*.rpm' -exec mv -t "$out" {} +
