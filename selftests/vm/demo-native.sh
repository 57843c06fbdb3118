#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The first half of "make demo": a file through a queue in a memfd, here, without
# root or a module. INPUT is the file; l3l2q-stream is in PATH or in build/bin.

here=$(cd "$(dirname "$0")" && pwd)
PATH=$here/../../build/bin:$PATH
# shellcheck disable=SC2034,SC2119
input=${INPUT:-$("$here/kernel.sh" stock | tail -n 1)/vmlinuz}
transport=memfd
dir=$(mktemp -d) || exit 1
# shellcheck disable=SC2317
clean_up() { rm -rf "$dir"; }
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# shellcheck source=selftests/vm/demo-lib.sh
. "$here/demo-lib.sh"
l3() { "$@"; }
l2_listens() { :; }

say "== $(basename "$input"), $(wc -c <"$input") bytes, through a queue in a memfd"
say "   $(uname -m), $(nproc) CPUs, user $(id -un); L2 is a process of its own"
all_jobs
killed
table
