#!/bin/bash
# SPDX-License-Identifier: MIT
#
# reproducible.sh: build the Debian packages twice, in different directories, time zones, locales and
# with different umasks and users' names, the second time later, and compare all that would be
# uploaded. Prints the checksums, or what differs.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dir=$top/build/packages/reproducible

rm -rf "$dir"
(umask 022 && TZ=UTC LC_ALL=C USER=one "$top/libuser/packaging/deb.sh" "$dir/one")
(umask 027 && TZ=Asia/Shanghai LC_ALL=C.UTF-8 USER=two "$top/libuser/packaging/deb.sh" "$dir/second/build/of/it")

# the log says where, and the others list what was installed and when it was built
sums() {
	cd "$1" && find . -name '*.deb' -o -name '*.dsc' -o -name '*.tar.*' | sort | xargs sha256sum
}
(sums "$dir/one/build") >"$dir/one.sums"
(sums "$dir/second/build/of/it/build") >"$dir/two.sums"
diff "$dir/one.sums" "$dir/two.sums"
cat "$dir/one.sums"
rm -rf "$dir"
