#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What "make demo" runs: l3l2q-stream over memfd here; in a guest over the driver, in
# RAM and to an NPU that is a program outside the guest. INPUT names the file to
# stream; by default the guest's kernel image.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top"
make=(env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u MAKELEVEL make -s -j"$(nproc)")

"${make[@]}" lib tools
kernel=$(selftests/vm/kernel.sh stock | tail -n 1)
INPUT=${INPUT:-$kernel/vmlinuz}
if [ ! -r "$INPUT" ]; then
	echo "demo: cannot read $INPUT" >&2
	exit 1
fi
INPUT=$(realpath "$INPUT")

export INPUT PATH="$top/build/bin:$PATH"
selftests/vm/demo-native.sh

"${make[@]}" kmod KDIR="$kernel/kdir"
selftests/vm/run.sh --suite demo --kernel "$kernel" --total 300 --npu npu0 \
	--module "build/kmod-$(cat "$kernel/version")/l3l2q.ko" --no-load \
	--file build/bin-static/l3l2q-stream:/bin/l3l2q-stream --file "$INPUT:/input" \
	--file selftests/vm/demo-lib.sh:/demo-lib.sh --file selftests/vm/demo-npu.sh:/demo-npu.sh \
	--script selftests/vm/demo-guest.sh
