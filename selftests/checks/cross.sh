#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# cross.sh: prints the name of a cross compiler for aarch64. Debian's package
# gcc-aarch64-linux-gnu removes the user's gcc-multilib, so the compiler may be there
# under its name with a version only. CROSS_CC names another one.

for cc in "$CROSS_CC" aarch64-linux-gnu-gcc \
	$(for n in 20 19 18 17 16 15 14 13 12 11 10; do echo aarch64-linux-gnu-gcc-$n; done); do
	if [ -n "$cc" ] && command -v "$cc" >/dev/null; then
		echo "$cc"
		exit 0
	fi
done
echo 'no aarch64-linux-gnu-gcc: Debian does not install it beside gcc-multilib' >&2
exit 1
